"""Ranks single weights by importance: small objects that pruning takes as a setting.

The families of Hoefler et al. 2021 ("Sparsity in deep learning", section 3): the weight's own size, the loss's
gradient, and, by training under a penalty before (steps/regularize.py), the size that is left of it. Chance is the
control.
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
    """Scores single weights; concrete criteria, one of your own too, are frozen dataclasses with `scores`."""

    once: ClassVar[bool] = False
    """Whether scores are computed once, before training, or anew whenever masks are updated."""

    @abc.abstractmethod
    def scores(self, model: keras.Model, weights: Mapping[str, tf.Variable], context: Context) -> dict[str, np.ndarray]:
        """Returns scores by name, float32 of the weight's shape, none negative.

        Larger is more important, between kernels too.

        Args:
            model: The model as it is now.
            weights: The kernels by name.
            context: Gives the task and the seed.
        """


def scores(
    criterion: Criterion, model: keras.Model, weights: Mapping[str, tf.Variable], context: Context
) -> dict[str, np.ndarray]:
    """Returns the scores; raises BadInput where a criterion of one's own does not keep what `Criterion.scores` says."""
    said = {name: np.asarray(score) for name, score in criterion.scores(model, weights, context).items()}
    place = f"{type(criterion).__name__}.scores"
    if missing := sorted({*weights} - {*said}):
        raise BadInput(f"{place} must score every kernel of `weights`; there is none of {', '.join(missing[:3])}.")
    for name, weight in weights.items():
        wanted, score = tuple(weight.shape), said[name]
        if score.shape != wanted:
            raise BadInput(f"{place} must have a kernel's shape: {name} is {wanted}, got {score.shape}.")
        sound = np.all(np.isfinite(weight.numpy()))  # else it is training that went wrong, and says so itself
        if sound and not np.all(np.isfinite(score) & (score >= 0)):
            raise BadInput(f"{place} must be finite and not negative; {name} has {score.min():g} to {score.max():g}.")
    return said


@dataclasses.dataclass(frozen=True)
class Magnitude(Criterion):
    """Scores a weight by |weight|: Han et al. 2015, "Learning both weights and connections".

    Example:
        >>> import tfmo_drive as td
        >>> td.Prune(criterion=td.Magnitude()).criterion
        Magnitude()
    """

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
    """Scores a weight by (gradient x weight)^2, the mean over batches of `images` train examples, anew at every update.

    Molchanov et al. 2019, "Importance estimation for neural network pruning", eq. 8, for single weights.

    Example:
        >>> import tfmo_drive as td
        >>> td.Prune(criterion=td.Gradient(images=128)).criterion
        Gradient(images=128)
    """

    def scores(self, model, weights, context):
        totals = {name: np.zeros(weight.shape, np.float32) for name, weight in weights.items()}
        for found in saliency.products(model, weights, context, self.images):
            for name, product in found.items():
                totals[name] += product**2
        return totals


@dataclasses.dataclass(frozen=True)
class SNIP(_OnImages):
    """Scores a weight by |gradient x weight|, the gradient over all of `images` train examples, once before training.

    Lee et al. 2019, "SNIP: single-shot network pruning based on connection sensitivity".

    Example:
        >>> import tfmo_drive as td
        >>> td.Prune(criterion=td.SNIP(images=128)).criterion
        SNIP(images=128)
    """

    once: ClassVar[bool] = True

    def scores(self, model, weights, context):
        totals = {name: np.zeros(weight.shape, np.float32) for name, weight in weights.items()}
        for found in saliency.products(model, weights, context, self.images):
            for name, product in found.items():
                totals[name] += product
        return {name: np.abs(total) for name, total in totals.items()}


@dataclasses.dataclass(frozen=True)
class Chance(Criterion):
    """Scores weights at random, as a control: a criterion that is no better than this is worth nothing.

    Example:
        >>> import tfmo_drive as td
        >>> td.Prune(criterion=td.Chance()).criterion
        Chance()
    """

    once: ClassVar[bool] = True

    def scores(self, model, weights, context):
        return {
            name: np.random.default_rng([context.seed, *name.encode()]).random(weight.shape, np.float32)
            for name, weight in weights.items()
        }
