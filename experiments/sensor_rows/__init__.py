"""Experiments on rows of sensor values."""
