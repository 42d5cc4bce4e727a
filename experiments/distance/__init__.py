"""Experiments on a number in a unit: the distance to the nearest road user."""
