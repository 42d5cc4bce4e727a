"""Imports TensorFlow and its Keras 2, and is the one place that does, so that the order of imports is right
everywhere."""

import tensorflow as tf  # noqa: I001
import tf_keras as keras

import tfmo_drive  # noqa: F401  (selects Keras 2 before TensorFlow is imported)

__all__ = ["keras", "tf"]
