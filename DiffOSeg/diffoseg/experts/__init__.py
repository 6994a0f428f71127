"""Who draws: the panel of names, experts that were taught, how masks make a consensus."""
