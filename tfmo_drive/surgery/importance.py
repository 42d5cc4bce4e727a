"""Ranks channels by importance: small objects that a step takes as a setting.

Scores of weights are means over the layers that make a channel, each layer's divided by its own mean: blind to a
layer's scale, which BatchNorm undoes anyway. Scores that are changes of the loss (`in_loss`) compare between layers as
they are, and add up over the layers that make a channel.
"""

from __future__ import annotations

import abc
import dataclasses
from typing import ClassVar

import numpy as np

from tfmo_drive.base.keras2 import keras
from tfmo_drive.contracts import BadInput, Context
from tfmo_drive.networks.layers import MAKERS, output_axes
from tfmo_drive.surgery import saliency
from tfmo_drive.surgery.channel_graph import ChannelGraph, ChannelGroup


class Importance(abc.ABC):
    """Scores channels; concrete criteria, one of your own too, are frozen dataclasses with `layer_scores`."""

    in_loss: ClassVar[bool] = False
    """Whether scores say by how much the loss changes."""

    def fitted(self, model: keras.Model, context: Context) -> Importance:
        """Returns the criterion that scores this model.

        That is this one, or where data is needed, one that holds what a slice of train taught.
        """
        return self

    @abc.abstractmethod
    def layer_scores(self, layer: keras.layers.Layer) -> np.ndarray | None:
        """Returns scores, float [channels that the layer makes], or None where the layer has none.

        Larger is more important.
        """

    def __call__(self, channels: ChannelGraph, group: ChannelGroup) -> np.ndarray:
        """Returns the scores of the group's channels, float64 [n]: about 1 on average, or changes of the loss.

        Raises BadInput where no layer scores them.
        """
        place = np.full(1 + max(map(np.max, channels.makes.values())), -1)
        place[group.channels] = np.arange(len(group.channels))
        total, count = np.zeros(len(group.channels)), np.zeros(len(group.channels))
        for layer in channels.model.layers:
            made = np.ravel(channels.makes.get(layer.name, ()))  # behind Reshape they lie along several axes
            places = place[made.astype(int)]
            scores = self.layer_scores(layer) if (places >= 0).any() else None
            if scores is not None:
                own = scores if self.in_loss else scores / max(scores.mean(), 1e-30)
                np.add.at(total, places[places >= 0], own[places >= 0])
                np.add.at(count, places[places >= 0], 1)
        if not count.all():
            raise BadInput(f"{type(self).__name__} says nothing of {group}. Use L2().")
        return total if self.in_loss else total / count


@dataclasses.dataclass(frozen=True)
class L1(Importance):
    """Scores a filter by the sum of its absolute weights: Li et al. 2017, "Pruning filters for efficient ConvNets".

    Example:
        >>> import tfmo_drive as td
        >>> td.ChannelPruning(importance=td.L1()).importance
        L1()
    """

    def layer_scores(self, layer):
        filters = _filters(layer)
        return None if filters is None else np.abs(filters).sum(1)


@dataclasses.dataclass(frozen=True)
class L2(Importance):
    """Scores a filter by its Euclidean norm.

    Example:
        >>> import tfmo_drive as td
        >>> td.ChannelPruning(importance=td.L2()).importance
        L2()
    """

    def layer_scores(self, layer):
        filters = _filters(layer)
        return None if filters is None else np.linalg.norm(filters, axis=1)


@dataclasses.dataclass(frozen=True)
class GeometricMedian(Importance):
    """Scores a filter by its distance to all others of its layer, since near ones can be replaced by them.

    He et al. 2019, "Filter pruning via geometric median for deep convolutional neural networks acceleration" (FPGM).

    Example:
        >>> import tfmo_drive as td
        >>> td.ChannelPruning(importance=td.GeometricMedian()).importance
        GeometricMedian()
    """

    def layer_scores(self, layer):
        filters = _filters(layer)
        if filters is None:
            return None
        squares = (filters**2).sum(1)
        return np.sqrt(np.maximum(squares[:, None] + squares - 2 * filters @ filters.T, 0)).sum(1)


@dataclasses.dataclass(frozen=True)
class BatchNormScale(Importance):
    """Scores a filter by |gamma| of the BatchNorm behind it: Liu et al. 2017, "network slimming".

    Example:
        >>> import tfmo_drive as td
        >>> td.ChannelPruning(importance=td.BatchNormScale()).importance
        BatchNormScale()
    """

    def layer_scores(self, layer):
        scaled = isinstance(layer, keras.layers.BatchNormalization) and layer.scale
        return np.abs(layer.gamma.numpy()).astype(np.float64) if scaled else None


@dataclasses.dataclass(frozen=True)
class Taylor(Importance):
    """Scores a filter by how much the loss would change without it: (sum of gradient x weight)^2.

    It is the mean over batches, as in Molchanov et al. 2019, "Importance estimation for neural network pruning", eq. 8.
    `images` is the number of labelled train examples.

    Example:
        >>> import tfmo_drive as td
        >>> td.ChannelPruning(importance=td.Taylor()).importance
        Taylor(images=256)
    """

    images: int = 256

    in_loss = True

    def __post_init__(self):
        if self.images < 1:
            raise BadInput(f"Taylor.images must be at least 1, got {self.images}.")

    def fitted(self, model, context):
        kernels = {layer.name: layer.kernel for layer in model.layers if _filters(layer) is not None}
        totals = dict.fromkeys(kernels, 0.0)
        for found in saliency.products(model, kernels, context, self.images):
            for name, product in found.items():
                totals[name] = totals[name] + _by_filter(model.get_layer(name), product).sum(1) ** 2
        return _Known(totals)

    def layer_scores(self, layer):
        raise RuntimeError("Taylor answers once it is fitted.")


@dataclasses.dataclass(frozen=True, eq=False)
class _Known(Importance):
    scores: dict[str, np.ndarray]

    in_loss = True

    def layer_scores(self, layer):
        return self.scores.get(layer.name)


@dataclasses.dataclass(frozen=True)
class Random(Importance):
    """Scores filters at random, as a control for the other criteria.

    Example:
        >>> import tfmo_drive as td
        >>> td.ChannelPruning(importance=td.Random()).importance
        Random(seed=0)
    """

    seed: int = 0

    def layer_scores(self, layer):
        filters = _filters(layer)
        if filters is None:
            return None
        return np.random.default_rng([self.seed, *layer.name.encode()]).random(len(filters))


def _filters(layer: keras.layers.Layer) -> np.ndarray | None:
    """Returns the filters, float64 [c_out, weights of one filter], of a layer that makes new channels, else None."""
    return _by_filter(layer, layer.kernel.numpy()) if type(layer) in MAKERS else None


def _by_filter(layer: keras.layers.Layer, kernel: np.ndarray) -> np.ndarray:
    """Returns a kernel, or what has its shape, as float64 [c_out, weights of one filter]."""
    kernel = np.moveaxis(kernel, output_axes(layer), (-1,))
    return kernel.reshape(-1, kernel.shape[-1]).T.astype(np.float64)
