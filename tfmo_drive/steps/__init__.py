"""Compresses, one file for each step (floor 4): a Keras model in, a compressed copy out, a promise that is checked."""
