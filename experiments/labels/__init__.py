"""Experiments on several labels an image, each by itself."""
