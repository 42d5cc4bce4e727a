"""Reads layouts of boxes, one file each, into arrays, which one check serves (floor 1)."""
