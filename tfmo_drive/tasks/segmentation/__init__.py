"""Semantic segmentation, and what it alone needs (floor 4)."""
