"""Model files: read, edited, described, opened, timed (floor 1)."""
