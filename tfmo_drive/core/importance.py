"""How much a channel matters, from the weights alone; small objects that a step takes as a setting.

Scores are means over the layers that make a channel, each layer's divided by its own mean: blind to a layer's scale,
which BatchNorm undoes anyway, and so comparable between groups.
"""

from __future__ import annotations

import abc
import dataclasses

import numpy as np

from tfmo_drive.contracts import BadInput
from tfmo_drive.core.channels import ChannelGraph, ChannelGroup
from tfmo_drive.core.keras2 import keras


class Importance(abc.ABC):
    """Concrete ones are frozen dataclasses; a function of your own is one method more."""

    @abc.abstractmethod
    def layer_scores(self, layer: keras.layers.Layer) -> np.ndarray | None:
        """float [channels that the layer makes], larger is more important; None where the layer says nothing."""

    def __call__(self, channels: ChannelGraph, group: ChannelGroup) -> np.ndarray:
        """float64 [n], about 1 on average, for the group's channels. BadInput where no layer says anything of them."""
        place = {number: index for index, number in enumerate(group.channels.tolist())}
        total, count = np.zeros(len(place)), np.zeros(len(place))
        for layer in channels.model.layers:
            where = np.array([place.get(number, -1) for number in channels.makes.get(layer.name, ())], int)
            scores = self.layer_scores(layer) if (where >= 0).any() else None
            if scores is not None:
                np.add.at(total, where[where >= 0], (scores / max(scores.mean(), 1e-30))[where >= 0])
                np.add.at(count, where[where >= 0], 1)
        if not count.all():
            raise BadInput(f"{type(self).__name__} says nothing of {group}. Use L2().")
        return total / count


@dataclasses.dataclass(frozen=True)
class L1(Importance):
    """Sum of a filter's absolute weights: Li et al. 2017, "Pruning filters for efficient ConvNets"."""

    def layer_scores(self, layer):
        filters = _filters(layer)
        return None if filters is None else np.abs(filters).sum(1)


@dataclasses.dataclass(frozen=True)
class L2(Importance):
    """A filter's Euclidean norm."""

    def layer_scores(self, layer):
        filters = _filters(layer)
        return None if filters is None else np.linalg.norm(filters, axis=1)


@dataclasses.dataclass(frozen=True)
class GeometricMedian(Importance):
    """A filter's distance to all others of its layer; near ones can be replaced by them: He et al. 2019 (FPGM)."""

    def layer_scores(self, layer):
        filters = _filters(layer)
        if filters is None:
            return None
        squares = (filters**2).sum(1)
        return np.sqrt(np.maximum(squares[:, None] + squares - 2 * filters @ filters.T, 0)).sum(1)


@dataclasses.dataclass(frozen=True)
class BatchNormScale(Importance):
    """|gamma| of the BatchNorm behind: Liu et al. 2017, "network slimming"."""

    def layer_scores(self, layer):
        scaled = isinstance(layer, keras.layers.BatchNormalization) and layer.scale
        return np.abs(layer.gamma.numpy()).astype(np.float64) if scaled else None


@dataclasses.dataclass(frozen=True)
class Random(Importance):
    """The control."""

    seed: int = 0

    def layer_scores(self, layer):
        filters = _filters(layer)
        if filters is None:
            return None
        return np.random.default_rng([self.seed, *layer.name.encode()]).random(len(filters))


def _filters(layer: keras.layers.Layer) -> np.ndarray | None:
    """float64 [c_out, weights of one filter] of a layer that makes new channels."""
    if type(layer) is keras.layers.Conv2DTranspose:
        kernel = np.moveaxis(layer.kernel.numpy(), 2, -1)
    elif type(layer) in (keras.layers.Conv2D, keras.layers.Dense):
        kernel = layer.kernel.numpy()
    else:
        return None
    return kernel.reshape(-1, kernel.shape[-1]).T.astype(np.float64)
