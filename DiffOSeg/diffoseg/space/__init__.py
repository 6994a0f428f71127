"""Where things are: in the patient, in a volume, on the grid and in the tiles of the model."""
