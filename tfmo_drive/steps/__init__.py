"""Compression steps, one file each (floor 4): a Keras model in, a compressed copy out, a promise that is checked."""
