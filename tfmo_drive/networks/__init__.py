"""Builds and reads networks: backbones, heads, a user's own model, a model's graph, fake quantisers (floor 2)."""
