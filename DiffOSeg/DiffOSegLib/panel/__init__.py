"""The panel's widgets and what they say."""
