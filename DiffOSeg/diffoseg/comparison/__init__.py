"""What is compared: the experts' results, and the measures between masks."""
