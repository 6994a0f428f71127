"""How good a model is: metrics, scores against known experts, intervals over patients."""
