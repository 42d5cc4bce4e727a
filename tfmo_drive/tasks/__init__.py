"""Perception jobs: data, float model, loss, metrics, decoding; one file each (floor 4)."""
