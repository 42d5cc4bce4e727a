"""Backbones, necks and heads, a user's own model, a model's graph, layers and fake quantisers (floor 2)."""
