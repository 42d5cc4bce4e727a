"""One file for each layout of a data set on a disk; tasks share them (floor 1)."""
