"""How much a single weight matters: small objects that pruning takes as a setting.

The families of Hoefler et al. 2021 ("Sparsity in deep learning", section 3): what the weight is, what the loss says of
it, and, by training under a penalty before (steps/regularize.py), what that leaves of it. Chance is the control.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from tfmo_drive.base.keras2 import keras, tf
from tfmo_drive.contracts import BadInput, Context
from tfmo_drive.surgery import saliency


class Criterion(abc.ABC):
    """Concrete ones are frozen dataclasses; one of your own is a class with `scores`."""

    once: ClassVar[bool] = False
    """Whether the scores of the weights before training stand, or are asked anew whenever masks are updated."""

    @abc.abstractmethod
    def scores(self, model: keras.Model, weights: Mapping[str, tf.Variable], context: Context) -> dict[str, np.ndarray]:
        """By name, float32 [the weight's shape], none negative; larger is more important, between kernels too."""


@dataclasses.dataclass(frozen=True)
class Magnitude(Criterion):
    """|weight|: Han et al. 2015, "Learning both weights and connections"."""

    def scores(self, model, weights, context):
        return {name: np.abs(weight.numpy()) for name, weight in weights.items()}


@dataclasses.dataclass(frozen=True)
class _OnImages(Criterion):
    images: int = 256

    def __post_init__(self):
        if self.images < 1:
            raise BadInput(f"{type(self).__name__}.images must be at least 1, got {self.images}.")


@dataclasses.dataclass(frozen=True)
class Gradient(_OnImages):
    """(gradient x weight)^2, the mean over batches of `images` train examples: Molchanov et al. 2019, eq. 8, for single
    weights; asked anew at every update."""

    def scores(self, model, weights, context):
        totals = {name: np.zeros(weight.shape, np.float32) for name, weight in weights.items()}
        for found in saliency.products(model, weights, context, self.images):
            for name, product in found.items():
                totals[name] += product**2
        return totals


@dataclasses.dataclass(frozen=True)
class SNIP(_OnImages):
    """|gradient x weight|, the gradient over all of `images` train examples, once before training: Lee et al. 2019,
    "SNIP: single-shot network pruning based on connection sensitivity"."""

    once: ClassVar[bool] = True

    def scores(self, model, weights, context):
        totals = {name: np.zeros(weight.shape, np.float32) for name, weight in weights.items()}
        for found in saliency.products(model, weights, context, self.images):
            for name, product in found.items():
                totals[name] += product
        return {name: np.abs(total) for name, total in totals.items()}


@dataclasses.dataclass(frozen=True)
class Chance(Criterion):
    """Random scores, the control: a criterion that is no better than this knows nothing."""

    once: ClassVar[bool] = True

    def scores(self, model, weights, context):
        return {
            name: np.random.default_rng([context.seed, *name.encode()]).random(weight.shape, np.float32)
            for name, weight in weights.items()
        }
