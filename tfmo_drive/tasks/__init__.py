"""Defines perception jobs: data, float model, loss, metrics, decoding; one file for each task (floor 4)."""
