"""Where to compute: which device, how its memory is kept, how its threads wait."""
