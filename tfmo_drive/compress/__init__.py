"""Compression steps, one file each (floor 2): a Keras model in, a compressed copy out, a promise that is checked."""
