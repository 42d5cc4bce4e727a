"""Estimates BatchNorm again after surgery, whose narrower layers make other means and variances."""

from __future__ import annotations

from tfmo_drive.base.inputs import pieces
from tfmo_drive.base.keras2 import keras
from tfmo_drive.contracts import Arrays


def reestimate(model: keras.Model, inputs: Arrays, batch: int = 64) -> None:
    """Estimates the mean and variance of every BatchNorm from preprocessed `inputs` [n, h, w, 3], in place.

    Each batch counts alike (a momentum of i / (i + 1) is the plain mean), as in "precise BatchNorm", Wu & Johnson 2021.
    """
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    momenta = [norm.momentum for norm in norms]
    for count, piece in enumerate(pieces(inputs, batch)):
        for norm in norms:
            norm.momentum = count / (count + 1)
        model(piece, training=True)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
