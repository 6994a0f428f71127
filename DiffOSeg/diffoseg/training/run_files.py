"""What the files are called that a training leaves in its folder."""

CHECKPOINT = "checkpoint.safetensors"
CURVE = "curve.png"
