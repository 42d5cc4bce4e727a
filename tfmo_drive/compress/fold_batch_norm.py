"""BatchNorm folded into the convolution or dense layer before it: Jacob et al. 2018, section 3.2; exact in inference.

A converter does the same to the graph that it is given; here it is done to the Keras model, for the steps that look at
kernels as they will run (equalization, clustering, low rank) and for runtimes that would not.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from tfmo_drive.contracts import BrokenPromise, Context, Step
from tfmo_drive.core import batch_norm
from tfmo_drive.core.fake_quant import refuse_quantize_aware
from tfmo_drive.core.keras2 import keras


@dataclasses.dataclass(frozen=True)
class FoldBatchNorm(Step):
    """Drop every BatchNormalization that alone reads a linear convolution or dense layer; its outputs stay equal.

    Zeros stay zeros. A BatchNorm that follows anything else, or is an output of the model, is left where it is.
    """

    promise = "BatchNorm folded"
    keeps = ("sparsity",)

    def __call__(self, model: keras.Model, context: Context) -> keras.Model:
        refuse_quantize_aware(model, "FoldBatchNorm")
        return batch_norm.folded(model)

    def check(self, model: keras.Model) -> None:
        left = batch_norm.foldable(model)
        if left:
            raise BrokenPromise(f"FoldBatchNorm: {next(iter(left))} is followed by a BatchNorm again. Put it last.")

    def reload(self, model: keras.Model, weights: Path, context: Context) -> keras.Model:
        folded = self(model, context)
        folded.load_weights(str(weights))
        return folded
