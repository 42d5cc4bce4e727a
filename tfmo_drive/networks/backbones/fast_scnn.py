"""Builds Fast-SCNN: Poudel et al. 2019, "Fast-SCNN: Fast semantic segmentation network", arXiv:1902.04502, table 1.

One branch sees fine maps through three layers, the other coarse ones through inverted residuals and pooling over the
whole image; they are added at stride 8. What the paper resizes bilinearly, and its pooling, are built-in layers of
fixed sizes here, because boards have no others.
"""

from __future__ import annotations

import dataclasses

from tfmo_drive.base.keras2 import keras
from tfmo_drive.contracts import BadInput
from tfmo_drive.networks.networks import Head, Network, Size, image_input

layers = keras.layers
_STRIDE = 32
"""What the deepest map divides the sides of the image by."""
_STAGES = ((64, 3, 2), (96, 3, 2), (128, 3, 1))
"""Filters, blocks and the first block's stride of each stage of inverted residuals, which widen six times inside."""
_BINS = (1, 2, 3, 6)
"""The parts, each way, over which the whole image is averaged (Zhao et al. 2017, "Pyramid scene parsing network")."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class FastSCNN(Network):
    """Describes Fast-SCNN up to its last convolution; its features have stride 8.

    Args:
        head: What turns features into outputs, for tasks that answer for the whole image.
        width: The factor on every channel count.

    Example:
        >>> import tfmo_drive as td
        >>> td.FastSCNN(width=0.5).decodes
        True
    """

    head: Head = Head()
    width: float = 1.0

    preprocessing = "tf"
    decodes = True

    def __post_init__(self):
        if not 0 < self.width <= 4:
            raise BadInput(f"FastSCNN.width must be in (0, 4], got {self.width}.")

    def _channels(self, count: int) -> int:
        return max(4, round(count * self.width))

    def _convolution(self, x, filters: int, kernel: int, stride: int, name: str, relu: bool = True):
        x = layers.Conv2D(filters, kernel, stride, "same", use_bias=False, name=f"{name}_conv")(x)
        return _normed(x, name, relu)

    def _separable(self, x, filters: int, stride: int, name: str):
        """Applies a depthwise 3x3 and a 1x1 convolution without anything between (section 3.2.1)."""
        x = layers.SeparableConv2D(filters, 3, stride, "same", use_bias=False, name=f"{name}_conv")(x)
        return _normed(x, name, True)

    def _residual(self, x, filters: int, stride: int, name: str):
        inside = self._convolution(x, 6 * x.shape[-1], 1, 1, f"{name}_wide")
        inside = layers.DepthwiseConv2D(3, stride, "same", use_bias=False, name=f"{name}_depthwise")(inside)
        inside = _normed(inside, f"{name}_depthwise", True)
        inside = self._convolution(inside, filters, 1, 1, f"{name}_narrow", relu=False)
        if stride > 1 or x.shape[-1] != filters:
            return inside
        return layers.Add(name=f"{name}_add")([x, inside])

    def _pooled(self, x):
        """Joins the map with means over its parts; of a map with fewer cells than bins, the bins that it has."""
        rows, columns, channels = x.shape[1:]
        joined = [x]
        for bins in _BINS:
            if bins > min(rows, columns):
                continue
            part = rows // bins, columns // bins
            mean = layers.AveragePooling2D(part, part, name=f"pool{bins}_mean")(x)
            mean = self._convolution(mean, max(1, channels // len(_BINS)), 1, 1, f"pool{bins}")
            joined.append(layers.Resizing(rows, columns, "bilinear", name=f"pool{bins}_resized")(mean))
        joined = layers.Concatenate(name="pool_joined")(joined)
        return self._convolution(joined, channels, 1, 1, "pool")

    def _fused(self, fine, coarse):
        filters = self._channels(128)
        factor = fine.shape[1] // coarse.shape[1]
        coarse = layers.UpSampling2D(factor, interpolation="bilinear", name="fuse_up")(coarse)
        coarse = layers.DepthwiseConv2D(3, padding="same", dilation_rate=factor, use_bias=False, name="fuse_depthwise")(
            coarse
        )
        coarse = _normed(coarse, "fuse_depthwise", True)
        both = [
            self._convolution(fine, filters, 1, 1, "fuse_fine", relu=False),
            self._convolution(coarse, filters, 1, 1, "fuse_coarse", relu=False),
        ]
        return layers.ReLU(name="fuse_relu")(layers.Add(name="fuse_add")(both))

    def backbone(self, size: Size) -> keras.Model:
        """Returns a model from preprocessed pixels float32 [b, height, width, 3] in [-1, 1] to features.

        These are [b, height / 8, width / 8, 128 * width]. Raises BadInput where sides are no multiples of 32.
        """
        inputs = x = image_input(size)
        if any(side % _STRIDE for side in inputs.shape[1:3]):
            raise BadInput(
                f"task.image_size must be multiples of {_STRIDE} for FastSCNN, got {inputs.shape[1]} x "
                f"{inputs.shape[2]}."
            )
        x = self._convolution(x, self._channels(32), 3, 2, "learn1")
        x = self._separable(x, self._channels(48), 2, "learn2")
        fine = x = self._separable(x, self._channels(64), 2, "learn3")
        for stage, (filters, blocks, stride) in enumerate(_STAGES, start=1):
            for block in range(1, blocks + 1):
                own = f"stage{stage}_block{block}"
                x = self._residual(x, self._channels(filters), stride if block == 1 else 1, own)
        x = self._fused(fine, self._pooled(x))
        for index in (1, 2):
            x = self._separable(x, self._channels(128), 1, f"classify{index}")
        return keras.Model(inputs, x, name="fast_scnn")


def _normed(x, name: str, relu: bool):
    x = layers.BatchNormalization(momentum=0.9, name=f"{name}_bn")(x)
    return layers.ReLU(name=f"{name}_relu")(x) if relu else x
