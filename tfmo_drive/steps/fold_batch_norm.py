"""Folds BatchNorm into the convolution or dense layer beside it: Jacob et al. 2018, section 3.2; exact in inference.

A converter does the same to the graph that it is given; here it is done to the Keras model, for the steps that look at
kernels as they will run (equalization, clustering), and for runtimes that would not.
"""

from __future__ import annotations

import dataclasses

from tfmo_drive.base.keras2 import keras
from tfmo_drive.contracts import BrokenPromise, Context
from tfmo_drive.networks import folding, graph
from tfmo_drive.surgery.untrained_step import UntrainedStep


@dataclasses.dataclass(frozen=True)
class FoldBatchNorm(UntrainedStep):
    """Folds every BatchNormalization, Rescaling or Normalization that a convolution or dense layer can absorb.

    Outputs in inference stay equal, and zeros stay zeros. A layer is absorbed where it alone reads a linear layer, or
    where one layer alone reads it (and, if it adds something, does not pad). All others, and outputs of the model, are
    skipped. Dropout and noise, which inference does without, are dropped: train before this step rather than after it.

    Example:
        >>> import tfmo_drive as td
        >>> td.FoldBatchNorm().name
        'fold_batch_norm'
    """

    promise = "BatchNorm folded"
    preserves = ("sparsity",)

    def outline(self, model: keras.Model) -> keras.Model:
        return folding.folded(model)

    def idle(self, model: keras.Model) -> str:
        if len(graph.flat_layers(self.outline(model))) < len(graph.flat_layers(model)):
            return ""
        return (
            "no BatchNormalization, Rescaling or Normalization stands where a convolution or dense layer could absorb "
            "it. Leave FoldBatchNorm out."
        )

    def changed(self, model: keras.Model, context: Context) -> keras.Model:
        return self.outline(model)

    def check(self, model: keras.Model) -> None:
        left = folding.foldable(model)
        if left:
            name, norm = next(iter(left.items()))
            raise BrokenPromise(f"FoldBatchNorm promised {self.promise}; {norm.name} beside {name} could be folded.")
