"""The model: networks, schedule and experts in one object; its file and its card."""
