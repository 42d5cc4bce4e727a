"""Builds keras.applications' MobileNetV2 (Sandler et al. 2018) and MobileNetV3 (Howard et al. 2019) without the top."""

from __future__ import annotations

import dataclasses

from tfmo_drive.base.keras2 import keras
from tfmo_drive.contracts import BadInput
from tfmo_drive.networks import plain_layers
from tfmo_drive.networks.networks import Head, Network, Size, image_input

_WIDTHS = (0.35, 0.5, 0.75, 1.0, 1.3, 1.4)
"""The widths of MobileNetV2 of which Keras publishes weights."""
_V3_WIDTHS = (0.75, 1.0)
_LEAST = 32
"""The least side in pixels that keras.applications takes."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class MobileNetV2(Network):
    """Describes MobileNetV2, which keras.applications builds without its top.

    Args:
        head: What turns features into outputs.
        width: The factor on every channel count, which Keras calls alpha.
        bn_momentum: The momentum of BatchNorm's moving averages; Keras's 0.999 needs thousands of batches.

    Example:
        >>> import tfmo_drive as td
        >>> td.MobileNetV2(width=0.35).width
        0.35
    """

    head: Head = Head()
    width: float = 1.0
    bn_momentum: float = 0.9

    preprocessing = "tf"
    published = f"MobileNetV2 of width {', '.join(map(str, _WIDTHS))}"

    def __post_init__(self):
        _refuse(self)

    def backbone(self, size: Size) -> keras.Model:
        """Returns a model from preprocessed pixels float32 [b, height, width, 3] in [-1, 1] to features."""
        inputs = _input(size, self)
        made = keras.applications.MobileNetV2(include_top=False, weights=None, alpha=self.width, input_tensor=inputs)
        return _with_momentum(made, self.bn_momentum)

    def published_file(self) -> str:
        if self.width not in _WIDTHS:
            return ""
        return f"mobilenet_v2/mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{float(self.width)}_224_no_top.h5"


@dataclasses.dataclass(frozen=True, kw_only=True)
class MobileNetV3(Network):
    """Describes MobileNetV3Small or MobileNetV3Large, which keras.applications builds without their top.

    Its hard swish, x * relu6(x + 3) / 6, and its squeeze-and-excite are built-in layers here, each of which int8 has an
    operator for. Where a runtime has none for a product of two maps, `minimalistic` leaves out both, and takes 3x3
    kernels in place of 5x5 (the published "minimalistic" models).

    Args:
        head: What turns features into outputs.
        variant: "small" or "large".
        width: The factor on every channel count, which Keras calls alpha.
        minimalistic: Whether it has ReLU alone, no squeeze-and-excite and no 5x5 kernels.
        bn_momentum: As of MobileNetV2.

    Example:
        >>> import tfmo_drive as td
        >>> td.MobileNetV3(width=0.75).variant
        'small'
    """

    head: Head = Head()
    variant: str = "small"
    width: float = 1.0
    minimalistic: bool = False
    bn_momentum: float = 0.9

    preprocessing = "tf"
    published = f"MobileNetV3 of width {' or '.join(map(str, _V3_WIDTHS))} (minimalistic: 1.0)"

    def __post_init__(self):
        if self.variant not in ("small", "large"):
            raise BadInput(f"MobileNetV3.variant must be small or large, got {self.variant!r}.")
        _refuse(self)

    def backbone(self, size: Size) -> keras.Model:
        """Returns a model from preprocessed pixels float32 [b, height, width, 3] in [-1, 1] to features."""
        inputs = _input(size, self)
        build = getattr(keras.applications, f"MobileNetV3{self.variant.title()}")
        made = build(
            input_tensor=inputs, alpha=self.width, minimalistic=self.minimalistic, include_top=False, weights=None,
            include_preprocessing=False,
        )  # fmt: skip
        return _with_momentum(plain_layers.split(made), self.bn_momentum)

    def published_file(self) -> str:
        if self.width not in _V3_WIDTHS or (self.minimalistic and self.width != 1):
            return ""
        kind = f"{self.variant}{'_minimalistic' if self.minimalistic else ''}"
        return f"mobilenet_v3/weights_mobilenet_v3_{kind}_224_{float(self.width)}_float_no_top_v2.h5"


def _refuse(network: MobileNetV2 | MobileNetV3) -> None:
    kind = type(network).__name__
    if not 0 < network.width <= 4:
        raise BadInput(f"{kind}.width must be in (0, 4], got {network.width}.")
    if not 0 <= network.bn_momentum < 1:
        raise BadInput(f"{kind}.bn_momentum must be in [0, 1), got {network.bn_momentum}.")


def _input(size: Size, network: MobileNetV2 | MobileNetV3):
    inputs = image_input(size)
    if min(inputs.shape[1:3]) < _LEAST:
        raise BadInput(
            f"task.image_size must be at least {_LEAST} pixels each way for {type(network).__name__}, got "
            f"{inputs.shape[1]} x {inputs.shape[2]}."
        )
    return inputs


def _with_momentum(model: keras.Model, momentum: float) -> keras.Model:
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = momentum
    return model
