"""Spoils a model on purpose, to show what a board or a method minds (floor 4)."""
