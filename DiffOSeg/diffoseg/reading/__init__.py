"""Files and folders from outside, checked, as volumes and regions."""

from .region import read_region
from .scan import read_volume

__all__ = ["read_region", "read_volume"]
