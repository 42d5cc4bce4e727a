"""Holds what every file may use: Keras 2, atomic files, the cache, the run folder, settings from text (floor 0)."""
