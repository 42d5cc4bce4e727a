"""Lists data sets as they lie on a disk, one file for each layout; tasks share them (floor 1)."""
