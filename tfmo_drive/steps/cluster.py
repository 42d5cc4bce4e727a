"""Clusters weights: each kernel keeps few distinct values, so that its file compresses.

Han, Mao & Dally 2016, "Deep Compression", by tfmot's clustering (its first values, its gradients); the arithmetic is in
surgery/clusters.py.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from absl import logging

from tfmo_drive.base.keras2 import keras
from tfmo_drive.contracts import Artifact, BadInput, BrokenPromise, Context
from tfmo_drive.networks import layers
from tfmo_drive.runtimes import artifact_metadata
from tfmo_drive.surgery import clusters
from tfmo_drive.training.trained_step import Hooks, KernelStep

SCOPES = ("layer", "global")
PRESERVABLE = ("", "sparsity")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cluster(KernelStep):
    """Lets the weights of each kernel share a few values, and trains values and weights on; biases stay free.

    Args:
        clusters: The number of values of a kernel, 2..255.
        scope: "layer" gives every kernel that many (tfmot's one number for all layers); "global" spends the same bits
            in all, where small kernels get more values and large ones fewer.
        start: tfmot's linear, density_based or kmeans_plus_plus, from which k-means goes on.
        preserve: "" or "sparsity", where zero is one of the values and zeros stay zero.
        skip: The names of layers that keep their weights.

    Raises:
        BadInput: A setting is out of its range.

    Example:
        >>> import tfmo_drive as td
        >>> td.Cluster(epochs=2).provides
        'clusters'
    """

    clusters: int = 16
    scope: str = "layer"
    start: str = "kmeans_plus_plus"
    preserve: str = ""
    skip: tuple[str, ...] = ()
    epochs: int = 2
    learning_rate: float = 0.005

    def __post_init__(self):
        super().__post_init__()
        least = 3 if self.preserve else 2  # tfmot's own minimum: zero and one sign alone would be no kernel
        if not least <= self.clusters <= clusters.MOST or int(self.clusters) != self.clusters:
            rule = f"a whole number from {least} to {clusters.MOST}"
            raise BadInput(f"Cluster.clusters must be {rule}, got {self.clusters}.")
        if self.scope not in SCOPES:
            raise BadInput(f"Cluster.scope must be one of {', '.join(SCOPES)}, got {self.scope!r}.")
        if self.start not in clusters.STARTS:
            raise BadInput(f"Cluster.start must be one of {', '.join(clusters.STARTS)}, got {self.start!r}.")
        if self.preserve not in PRESERVABLE:
            raise BadInput(f'Cluster.preserve must be "" or "sparsity", got {self.preserve!r}.')

    provides = "clusters"

    @property
    def preserves(self) -> tuple[str, ...]:
        return (self.preserve,) if self.preserve else ()

    @property
    def promise(self) -> str:
        return f"{self.clusters} shared weights per kernel" + (" on average" if self.scope == "global" else "")

    def prepared(self, model: keras.Model, context: Context) -> tuple[keras.Model, Hooks]:
        trained, zeros = self.structure(model, context), self.preserve == "sparsity"
        kernels = {kernel.name: kernel.variable for kernel in self._clustered(trained)}
        shared = []
        for name, count in self.counts({name: kernel.shape.num_elements() for name, kernel in kernels.items()}).items():
            values = clusters.first_values(kernels[name].numpy(), count, self.start, zeros)
            shared.append(clusters.SharedKernel(kernels[name], values, free=True, zeros=zeros))
            logging.info("%s: %d shared weights", name, count)
        callback = clusters.ShareWeights(shared)
        return trained, Hooks(callbacks=(callback,), variables=callback.variables)

    def counts(self, sizes: dict[str, int]) -> dict[str, int]:
        """Returns how many values each kernel may have, by layer, from the numbers of weights.

        "global": a kernel's squared relative rounding error falls as 1 / count^2 (Panter & Dite 1951) and its indices
        cost size x log2(count) bits; the sum of errors is least, at the bits of the same count for all, where count is
        proportional to 1 / sqrt(size).
        """
        if self.scope == "layer":
            return dict.fromkeys(sizes, self.clusters)
        weights = np.array(list(sizes.values()), np.float64)
        typical = np.exp(np.average(np.log(weights), weights=weights)) if sizes else 1.0
        wanted = self.clusters * np.sqrt(typical / weights)
        return {name: int(np.clip(round(count), 3, clusters.MOST)) for name, count in zip(sizes, wanted, strict=True)}

    def check(self, model: keras.Model) -> None:
        found = {kernel.name: kernel.variable.numpy() for kernel in self._clustered(model)}
        self._check(found, _in_kernel, "the model")

    def check_artifact(self, artifact: Artifact) -> None:
        """Raises BrokenPromise where a kernel of the file has more values than promised.

        Integers of a quantize-aware kernel have one scale: the promise itself. In any other file BatchNorm, folded in,
        and post-training ranges scale each output channel on its own, and the promise holds for each channel.
        """
        found = {name.split("/")[0]: value for name, value in artifact.weights().items()
                 if layers.is_kernel(name, value) and name.split("/")[0] not in self.skip}  # fmt: skip
        aware = artifact_metadata.read(artifact.path).get("quantize_aware")
        self._check(found, _in_integers if aware else _in_channels, artifact.path)

    def _check(self, found: dict[str, np.ndarray], distinct, place) -> None:
        allowed = self.counts({name: value.size for name, value in found.items()})
        for name, value in found.items():
            if (count := distinct(value)) > allowed[name]:
                raise BrokenPromise(
                    f"Cluster promised {self.promise}; {name} has {count} in {place}, {allowed[name]} are allowed."
                )

    def _clustered(self, model: keras.Model) -> list[layers.Kernel]:
        return [kernel for kernel in layers.kernels(model) if kernel.name not in self.skip]


def _in_kernel(kernel: np.ndarray) -> int:
    return len(np.unique(kernel))


def _in_integers(kernel: np.ndarray) -> int:
    """Returns the count of values in a kernel of integers, whatever their sign.

    The converter turns the signs of a channel round whose BatchNorm scale is negative.
    """
    return max(_in_channels(kernel), len(np.unique(np.abs(kernel.astype(np.int16)))))


def _in_channels(kernel: np.ndarray) -> int:
    """Returns the most values in one output channel.

    Channels come first, but in a dense kernel of an .onnx file last.
    """
    axes = (0,) if kernel.ndim == 4 else (0, -1)
    return min(max(len(np.unique(one)) for one in np.moveaxis(kernel, axis, 0)) for axis in axes)
