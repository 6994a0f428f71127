"""How results are looked at: outlines, the grid of experts, the disagreement overlay."""
