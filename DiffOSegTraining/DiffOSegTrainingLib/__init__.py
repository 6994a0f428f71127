"""The Slicer side of DiffOSeg Training; qt only in files whose names end with Widget."""
