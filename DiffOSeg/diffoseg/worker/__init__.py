"""The process that computes for Slicer: its protocol, jobs as folders, answers and trainings."""
