"""Decomposes one convolution or dense layer into a chain of thinner ones: its kernel once, then cut at any rank.

Matrices, and kernels as k x 1 then 1 x k: singular values (Jaderberg et al. 2014). k x k kernels: Tucker-2, the higher
order SVD on the two channel modes (Kim et al. 2016). A kernel may be weighted by what its layer reads and by what is
made of its outputs, so that the error that is least is that of the outputs (Zhang et al. 2016, section 3.1).
"""

from __future__ import annotations

import abc
import dataclasses
import functools
import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np

from tfmo_drive.base import inputs as given
from tfmo_drive.base.inputs import pieces
from tfmo_drive.base.keras2 import keras, tf
from tfmo_drive.base.outputs import each
from tfmo_drive.base.spelling import free_name
from tfmo_drive.contracts import Arrays
from tfmo_drive.networks import folding, graph
from tfmo_drive.networks.layers import in_one_group

Layer = keras.layers.Layer
Chain = list[tuple[Layer, list[np.ndarray]]]
"""A list of layers one after the other, not built yet, each with its weights in `get_weights` order."""

RIDGE = 1e-2
"""The least weight of a direction, as a fraction of the mean (of inputs) or the largest (of outputs)."""


@dataclasses.dataclass(frozen=True, eq=False)
class Weighting:
    """Weights the errors of a kernel by what they do to the outputs."""

    root: np.ndarray
    """float64 [c_in, c_in], lower triangular: root @ root.T are the second moments of what the layer reads."""
    scale: np.ndarray
    """float64 [c_out], positive: the factor on each output channel behind the layer."""


class Factors(abc.ABC):
    """Holds a layer's decomposed kernel; `ranks` say where each of its modes is cut."""

    def __init__(self, layer: Layer, weighting: Weighting | None = None):
        kernel = layer.get_weights()[0].astype(np.float64)
        self.layer, self.weighting = layer, weighting
        self.kernel = kernel.reshape((1, 1) * (kernel.ndim == 2) + kernel.shape)
        """float64 [h, w, c_in, c_out], weighted."""
        if weighting:
            self.kernel = weighting.root.T @ self.kernel * weighting.scale
        self.inside, self.outside = (tensor.shape[1:-1] for tensor in (layer.input, layer.output))

    @abc.abstractmethod
    def ranks(self, energy: float, multiple: int) -> tuple[int, ...]:
        """Returns the cheapest cut that keeps the fraction `energy` of every mode's squared singular values.

        Args:
            energy: The fraction in (0, 1].
            multiple: Ranks are rounded up to a multiple of this number.
        """

    @abc.abstractmethod
    def macs(self, ranks: tuple[int, ...]) -> int:
        """Returns the multiply-accumulates of the chain, for one example."""

    @abc.abstractmethod
    def _parts(self, ranks: tuple[int, ...]) -> list[tuple[np.ndarray, dict]]:
        """Returns (weighted kernel, settings that differ from the layer's) for each layer of the chain."""

    def chain(self, ranks: tuple[int, ...], taken: set[str]) -> Chain:
        """Returns linear layers without bias, and a last one with the layer's name, bias and activation.

        Their names are none of `taken`, and are put into it.
        """
        kernels, settings = self._unweighted(ranks)
        for count in range(len(kernels) - 1):
            kernels[count : count + 2] = _balanced(*kernels[count : count + 2])
        found = []
        for kernel, changed in zip(kernels[:-1], settings[:-1], strict=True):
            name = free_name(f"{self.layer.name}_{len(found) + 1}", taken)
            taken.add(name)
            linear = {"name": name, "use_bias": False, "activation": "linear", "activity_regularizer": None}
            found.append(_part(self.layer, kernel, changed | linear))
        last, values = _part(self.layer, kernels[-1], settings[-1])
        return [*found, (last, values + self.layer.get_weights()[1:])]

    def product(self, ranks: tuple[int, ...]) -> np.ndarray:
        """Returns the one kernel that does what the chain does, float32 of the layer's kernel's shape."""
        # Of two neighbours at most one has taps in either direction, so a matrix product per tap joins them.
        joined = functools.reduce(np.matmul, self._unweighted(ranks)[0])
        return joined.reshape(self.layer.kernel.shape).astype(np.float32)

    def _unweighted(self, ranks: tuple[int, ...]) -> tuple[list[np.ndarray], list[dict]]:
        """Returns `_parts` with kernels as the layers need them, without the weighting."""
        kernels, settings = map(list, zip(*self._parts(ranks), strict=True))
        if self.weighting:
            kernels[0] = np.linalg.solve(self.weighting.root.T, kernels[0])
            kernels[-1] = kernels[-1] / self.weighting.scale
        return kernels, settings


class Split(Factors):
    """Splits a layer into two with `rank` channels between them.

    A dense layer or 1x1 convolution becomes two of its kind, a k x l convolution k x 1, then 1 x l.
    """

    def __init__(self, layer: Layer, weighting: Weighting | None = None):
        super().__init__(layer, weighting)
        height, width, read, made = self.kernel.shape
        matrix = self.kernel.transpose(0, 2, 1, 3).reshape(height * read, width * made)
        shorter = int(np.argmin(matrix.shape))  # whose singular vectors are found five times as fast as both sides'
        basis, self.spectrum = _directions(matrix, shorter)
        first, second = (matrix @ basis, basis.T) if shorter else (basis, basis.T @ matrix)
        self.first = first.reshape(height, 1, read, -1)
        self.second = second.reshape(1, -1, width, made).swapaxes(1, 2)

    def ranks(self, energy: float, multiple: int) -> tuple[int, ...]:
        return (rank(self.spectrum, energy, multiple),)

    def macs(self, ranks: tuple[int, ...]) -> int:
        height, width, read, made = self.kernel.shape
        places = math.prod(self.outside) if width == 1 else self.outside[0] * self.inside[1]
        return ranks[0] * (places * height * read + math.prod(self.outside) * width * made)

    def _parts(self, ranks: tuple[int, ...]) -> list[tuple[np.ndarray, dict]]:
        first, second = self.first[..., : ranks[0]], self.second[:, :, : ranks[0]]
        if isinstance(self.layer, keras.layers.Dense):
            return [(first, {}), (second, {})]
        (down, right), dilation = self.layer.strides, self.layer.dilation_rate
        early = second.shape[1] == 1  # nothing looks sideways any more, so it may be skipped at once
        return [
            (first, {"strides": (down, right if early else 1), "dilation_rate": (dilation[0], 1)}),
            (second, {"strides": (1, 1 if early else right), "dilation_rate": (1, dilation[1])}),
        ]


class Tucker(Factors):
    """Splits a k x k convolution into a 1x1 to fewer channels, a k x k between few channels, and a 1x1 to all of them.

    A mode that keeps all its channels needs no 1x1 convolution.
    """

    def __init__(self, layer: Layer, weighting: Weighting | None = None):
        super().__init__(layer, weighting)
        self.reads, self.read_spectrum = _directions(self.kernel, 2)
        self.makes, self.made_spectrum = _directions(self.kernel, 3)

    def ranks(self, energy: float, multiple: int) -> tuple[int, ...]:
        modes = [(len(one), rank(one, energy, multiple)) for one in (self.read_spectrum, self.made_spectrum)]
        return min(itertools.product(*modes), key=self.macs)

    def macs(self, ranks: tuple[int, ...]) -> int:
        (height, width, read, made), (few_read, few_made) = self.kernel.shape, ranks
        first = math.prod(self.inside) * read * few_read * (few_read < read)
        last = math.prod(self.outside) * few_made * made * (few_made < made)
        return first + math.prod(self.outside) * height * width * few_read * few_made + last

    def _parts(self, ranks: tuple[int, ...]) -> list[tuple[np.ndarray, dict]]:
        reads, makes = self.reads[:, : ranks[0]], self.makes[:, : ranks[1]]
        thin = {"strides": (1, 1), "dilation_rate": (1, 1)}
        parts, core = [], self.kernel
        if ranks[0] < len(self.reads):
            parts, core = [(reads[None, None], thin)], reads.T @ core
        if ranks[1] < len(self.makes):
            return [*parts, (core @ makes, {}), (makes.T[None, None], thin)]
        return [*parts, (core, {})]


def decompose(layer: Layer, spatial: bool = False, weighting: Weighting | None = None) -> Factors:
    """Decomposes the kernel of a layer that is `factorable`.

    Args:
        layer: A dense layer or convolution.
        spatial: Whether k x k convolutions become k x 1 and 1 x k, rather than Tucker-2.
        weighting: The weights of the kernel's errors, if any.
    """
    flat = getattr(layer, "kernel_size", (1, 1)) == (1, 1)
    return (Split if flat or spatial else Tucker)(layer, weighting)


def factorable(layer: Layer) -> bool:
    """Says whether the layer is a dense one or a plain convolution: all its outputs read all inputs."""
    return type(layer) in (keras.layers.Dense, keras.layers.Conv2D) and in_one_group(layer)


def replaced(model: keras.Model, chains: Mapping[str, Chain]) -> keras.Model:
    """Returns a flat copy with chains in place of the layers that are named."""
    made = graph.rebuilt(
        model, lambda layer: [part for part, _ in chains[layer.name]] if layer.name in chains else None
    )
    for part, values in itertools.chain.from_iterable(chains.values()):
        part.set_weights(values)
    return made


def rank(spectrum: np.ndarray, energy: float, multiple: int) -> int:
    """Returns the least rank that keeps the fraction `energy` of `spectrum`, rounded up to a multiple.

    It is never more than there are.

    Args:
        spectrum: Squared singular values, largest first.
        energy: The fraction in (0, 1].
        multiple: The rank is rounded up to a multiple of this number.
    """
    kept = np.cumsum(spectrum)
    least = int(np.searchsorted(kept, energy * kept[-1])) + 1
    return min(len(spectrum), -(-least // multiple) * multiple)


def weightings(model: keras.Model, names: Sequence[str], inputs: Arrays) -> dict[str, Weighting]:
    """Returns, by layer's name, how the error of its kernel weighs in its outputs on real inputs.

    The error is weighted by BatchNorm's scale where BatchNorm alone reads the layer. Taps of a kernel count as if their
    inputs were independent.

    Args:
        model: A flat functional model.
        names: The layers' names.
        inputs: Preprocessed inputs, float32 [n, ...].
    """
    readers, found = graph.only_reader(model), {}
    for name, second in _moments(model, names, inputs).items():
        width = len(second)
        # Directions that these inputs never took are not free to change: they keep a little weight.
        root = np.linalg.cholesky(second + (RIDGE * np.trace(second) / width + 1e-12) * np.eye(width))
        norm = readers.get(name)
        known = isinstance(norm, keras.layers.BatchNormalization)
        scale = np.abs(folding.affine(norm)[0]) if known else np.ones(model.get_layer(name).output.shape[-1])
        found[name] = Weighting(root, np.maximum(scale, RIDGE * scale.max() or 1.0))
    return found


def _moments(model: keras.Model, names: Sequence[str], inputs: Arrays, batch: int = 32) -> dict[str, np.ndarray]:
    """Returns, by layer's name, the second moments float64 [c_in, c_in] of what it reads.

    They are summed over an image's positions.
    """
    watched = keras.Model(model.inputs, [model.get_layer(name).input for name in names])

    @tf.function
    def products(images: tf.Tensor) -> list[tf.Tensor]:
        seen = [tf.reshape(one, (-1, one.shape[-1])) for one in tf.nest.flatten(watched(images, training=False))]
        return [tf.matmul(one, one, transpose_a=True) / given.count(inputs) for one in seen]

    total = dict.fromkeys(names, 0.0)
    for piece in pieces(inputs, batch):
        for name, more in zip(names, products(each(tf.constant, piece)), strict=True):
            total[name] = total[name] + more.numpy().astype(np.float64)
    return total


def _part(layer: Layer, kernel: np.ndarray, changes: dict) -> tuple[Layer, list[np.ndarray]]:
    """Returns a layer of the same kind and settings but for `changes`, with that kernel (Dense: the one tap of it)."""
    dense = isinstance(layer, keras.layers.Dense)
    size = {"units": kernel.shape[-1]} if dense else {"filters": kernel.shape[-1], "kernel_size": kernel.shape[:2]}
    made = type(layer).from_config({**layer.get_config(), "kernel_constraint": None, **size, **changes})
    return made, [(kernel[0, 0] if dense else kernel).astype(np.float32)]


def _directions(kernel: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the orthonormal directions [c, c] of a channel mode, as columns.

    Their squared singular values come with them, largest first.
    """
    unfolded = np.moveaxis(kernel, axis, 0).reshape(kernel.shape[axis], -1)
    values, basis = np.linalg.eigh(unfolded @ unfolded.T)
    basis = basis[:, ::-1]
    return basis * _signs(basis), np.maximum(values[::-1], 0.0)


def _balanced(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns two kernels of the same product, with equal norms on both sides of each channel between them.

    They are [..., r] and [..., r, c]. Both sides train at one learning rate, and without this the one that reads pixels
    of 0..255 would be tiny.
    """
    before = np.linalg.norm(first.reshape(-1, first.shape[-1]), axis=0)
    after = np.linalg.norm(np.moveaxis(second, -2, 0).reshape(second.shape[-2], -1), axis=1)
    known = (before > 0) & (after > 0)
    scale = np.sqrt(np.divide(after, before, out=np.ones_like(after), where=known))
    return first * scale, second / scale[:, None]


def _signs(columns: np.ndarray) -> np.ndarray:
    """Returns +-1 by column, so that its largest entry becomes positive: a decomposition leaves the sign open."""
    largest = np.abs(columns).argmax(0)
    return np.where(columns[largest, np.arange(columns.shape[1])] < 0, -1.0, 1.0)
