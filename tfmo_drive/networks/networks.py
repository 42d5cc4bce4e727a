"""Holds what all networks share: what a network is, heads, and where its weights start.

The networks for images lie in `networks.backbones`, one file each. `DenseLayers` is for rows of numbers: its size is a
count of columns.
"""

from __future__ import annotations

import abc
import dataclasses
from pathlib import Path
from typing import ClassVar

from tfmo_drive.base import finite
from tfmo_drive.base.given_file import reason
from tfmo_drive.base.keras2 import keras
from tfmo_drive.contracts import BadInput
from tfmo_drive.networks.hdf5_file import refuse_endless

layers = keras.layers
LOGITS = "logits"
"""The name of the last layer of every network here, which has no softmax."""
NUMBER = "number"
"""The name of the last layer of a network whose one output is no class, but a number."""
BN_EPSILON = 1.001e-5  # keras.applications.resnet
Size = int | tuple[int, int] | tuple[int, int, int]
"""The side of square images, or (height, width), in pixels, of RGB; or (height, width, channels)."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Head:
    """Turns features into class logits, or into a number.

    Args:
        pooling: "gap" (average pooling + Dense) or "flatten" (Flatten + Dense(units) + Dense).
        units: The units of the hidden dense layer of "flatten".

    Example:
        >>> import tfmo_drive as td
        >>> td.Head(pooling="flatten", units=256).units
        256
    """

    pooling: str = "gap"
    units: int = 1024

    def __post_init__(self):
        if self.pooling not in ("gap", "flatten"):
            raise BadInput(f"Head.pooling must be gap or flatten, got {self.pooling!r}.")
        if self.units < 1:
            raise BadInput(f"Head.units must be at least 1, got {self.units}.")

    def __call__(self, features, outputs: int, name: str = LOGITS):
        """Applies the head to a feature map [b, h, w, c].

        Returns float32 [b, outputs] from a layer called `name`. Heads of several tasks on one map share all but that.
        """
        if self.pooling == "gap":
            features = _once(layers.GlobalAveragePooling2D(name="avg_pool"), features)
        else:
            features = _once(layers.Flatten(name="flatten"), features)
            features = _once(layers.Dense(self.units, activation="relu", name="hidden"), features)
        return layers.Dense(outputs, name=name)(features)


def _once(layer: keras.layers.Layer, features):
    """Applies the layer to features, or returns what one of its name has made of them already."""
    calls = features._keras_history.layer.outbound_nodes
    made = [call.outputs for call in calls if call.layer.name == layer.name]
    return made[0] if made else layer(features)


class Network(abc.ABC):
    """Describes a network for images; a concrete one is a frozen dataclass, whose settings decide the graph."""

    preprocessing: ClassVar[str]
    """The name of the preprocessing that it was published with, one of data.preprocessing_text.NAMES."""
    decodes: ClassVar[bool] = False
    """Whether its features are one fine map that all coarser ones went into, which a segmenter reads as it is."""
    published: ClassVar[str] = ""
    """Which of its settings Keras publishes ImageNet weights of, in words; "" where of none."""

    head: Head
    """What turns features into outputs; a network with a head of its own has a method of that name."""

    @abc.abstractmethod
    def backbone(self, size: Size) -> keras.Model:
        """Returns a model from preprocessed pixels float32 [b, height, width, 3] to features [b, h, w, c]."""

    def published_file(self) -> str:
        """Returns the file of its ImageNet weights without the top, below Keras's address; "" where there is none."""
        return ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class DenseLayers:
    """Describes a network for rows of numbers: dense layers of `units` with ReLU, then the outputs.

    Example:
        >>> import tfmo_drive as td
        >>> td.DenseLayers(units=(32, 16)).units
        (32, 16)
    """

    units: tuple[int, ...] = (50,)

    def __post_init__(self):
        if not self.units or min(self.units) < 1:
            raise BadInput(f"DenseLayers.units must be counts of at least 1, got {self.units}.")

    def head(self, features, outputs: int):
        """Applies the last layer to features [b, c].

        Returns class logits float32 [b, outputs], or one number [b, 1].
        """
        return layers.Dense(outputs, name=LOGITS if outputs > 1 else NUMBER)(features)

    def backbone(self, size: int) -> keras.Model:
        """Returns a model from standardised rows float32 [b, size] to features [b, units[-1]]."""
        inputs = x = keras.Input((size,), name="row")
        for index, units in enumerate(self.units, start=1):
            x = layers.Dense(units, activation="relu", name=f"dense{index}")(x)
        return keras.Model(inputs, x, name="dense_layers")


def image_input(size: Size):
    """Returns a Keras input for preprocessed pixels float32 [b, height, width, channels]."""
    return keras.Input((*((size, size) if isinstance(size, int) else size), 3)[:3], name="image")


def build(network: Network | DenseLayers, size: Size, outputs: int, weights: str = "none") -> keras.Model:
    """Returns the float model with logits float32 [b, outputs].

    Args:
        network: The backbone and its head.
        size: The size of images; the number of columns of rows.
        outputs: The number of classes, or 1 for a number.
        weights: The weights to start from, as for `started`.
    """
    backbone = started(network, size, weights)
    return keras.Model(backbone.input, network.head(backbone.output, outputs), name=backbone.name)


def started(network: Network | DenseLayers, size: Size, weights: str = "none") -> keras.Model:
    """Returns the network's backbone with weights to start from.

    Args:
        network: The backbone.
        size: As for `build`.
        weights: "none", "imagenet" or the path of a "notop" .h5 file.

    Raises:
        BadInput: The file is missing or of another shape, or ImageNet weights cannot be downloaded.
    """
    backbone = network.backbone(size)
    if weights == "imagenet":
        weights = str(_imagenet(network))
    if weights != "none":
        load_weights(backbone, Path(weights), "task.weights")
    return backbone


def load_weights(model: keras.Model, path: Path, setting: str) -> None:
    """Reads a Keras 2 .h5 weight file into `model`, layer by layer in order.

    Raises BadInput that says what does not fit, or which layer's weights are not finite.
    """
    if not path.is_file():
        raise BadInput(f"{setting}: no file {path}. Give the path of a Keras 2 .h5 file.")
    refuse_endless(path, setting)
    try:
        model.load_weights(str(path))
    except Exception as error:  # h5py and Keras raise many kinds for what they do not find, or cannot read
        raise BadInput(
            f"{setting}: {path} does not fit {model.name} ({model.count_params():,} parameters, input "
            f"{model.input_shape[1:]}): {reason(error)}. Check the topology, image_size and class count."
        ) from error
    finite.refuse_weights(model, f"{setting}: {path}")


_KERAS_FILES = "https://storage.googleapis.com/tensorflow/keras-applications/"


def _imagenet(network: Network | DenseLayers) -> Path:
    """Returns the file of Keras's own download, kept in its cache; offline, BadInput says which file to put where."""
    published = network.published_file() if isinstance(network, Network) else ""
    if not published:
        known = "; ".join(kind.published for kind in Network.__subclasses__() if kind.published)
        raise BadInput(
            f"task.weights=imagenet: Keras publishes weights of {known}; got {network}. Set task.network so, or use "
            "--set=task.weights=path/to/a_notop_file.h5."
        )
    origin, name = _KERAS_FILES + published, published.split("/")[-1]
    folder = Path.home() / ".keras" / "models"
    try:
        return Path(keras.utils.get_file(name, origin, cache_subdir="models"))
    except Exception as error:  # urllib raises many kinds; all mean that the file is not to be had here
        raise BadInput(
            f"task.weights=imagenet: {name} could not be downloaded. On a machine that can, fetch {origin} and put it "
            f"into {folder}; or use --set=task.weights=path/to/{name}."
        ) from error
