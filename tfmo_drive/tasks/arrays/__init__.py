"""Learns from arrays and a model that somebody has in memory."""
