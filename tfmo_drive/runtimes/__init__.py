"""Reads, edits, describes, opens and times model files (floor 1)."""
