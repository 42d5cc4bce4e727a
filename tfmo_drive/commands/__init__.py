"""Holds the verbs of the command line, and what they share (floor 8)."""
