"""Builds ResNets with bottleneck blocks in both topologies; ResNet50 by default.

He et al. 2015, "Deep Residual Learning" (v1: stride in the first 1x1), and the v1.5 of NVIDIA's and torchvision's
reference models (stride in the 3x3). Layer names are keras.applications', so that its weight files load.
"""

from __future__ import annotations

import dataclasses

from tfmo_drive.base.keras2 import keras
from tfmo_drive.contracts import BadInput
from tfmo_drive.networks.networks import BN_EPSILON, Head, Network, Size, image_input

layers = keras.layers


@dataclasses.dataclass(frozen=True, kw_only=True)
class ResNet(Network):
    """Describes a ResNet with bottleneck blocks; the defaults are ResNet50.

    Args:
        topology: "v1.5" (stride in the 3x3 convolution) or "v1" (stride in the first 1x1).
        head: What turns features into outputs.
        blocks: The number of blocks of each stage.
        width: The factor on every channel count.
        bn_momentum: The momentum of BatchNorm's moving averages.

    Example:
        >>> import tfmo_drive as td
        >>> td.ResNet(width=0.25).blocks
        (3, 4, 6, 3)
    """

    topology: str = "v1.5"
    head: Head = Head()
    blocks: tuple[int, ...] = (3, 4, 6, 3)
    width: float = 1.0
    bn_momentum: float = 0.9

    preprocessing = "caffe"
    published = "ResNet50 of topology v1"

    def __post_init__(self):
        if self.topology not in ("v1", "v1.5"):
            raise BadInput(f"ResNet.topology must be v1 (stock tf.keras) or v1.5, got {self.topology!r}.")
        if not self.blocks or min(self.blocks) < 1 or len(self.blocks) > 4:
            raise BadInput(f"ResNet.blocks must be one to four counts of at least 1, got {self.blocks}.")
        if not 0 < self.width <= 4:
            raise BadInput(f"ResNet.width must be in (0, 4], got {self.width}.")
        if not 0 <= self.bn_momentum < 1:
            raise BadInput(f"ResNet.bn_momentum must be in [0, 1), got {self.bn_momentum}.")

    def _channels(self, count: int) -> int:
        return max(4, int(round(count * self.width)))

    def _convolution(self, x, filters, kernel, name, gamma="ones", **kwargs):
        x = layers.Conv2D(filters, kernel, name=f"{name}_conv", **kwargs)(x)
        return layers.BatchNormalization(
            epsilon=BN_EPSILON, momentum=self.bn_momentum, gamma_initializer=gamma, name=f"{name}_bn"
        )(x)

    def _block(self, x, filters: int, stride: int, project: bool, name: str):
        first, second = (stride, 1) if self.topology == "v1" else (1, stride)
        shortcut = self._convolution(x, 4 * filters, 1, f"{name}_0", strides=stride) if project else x
        x = self._convolution(x, filters, 1, f"{name}_1", strides=first)
        x = layers.ReLU(name=f"{name}_1_relu")(x)
        padding = "same"
        if second > 1:
            x, padding = layers.ZeroPadding2D(1, name=f"{name}_2_pad")(x), "valid"
        x = self._convolution(x, filters, 3, f"{name}_2", strides=second, padding=padding)
        x = layers.ReLU(name=f"{name}_2_relu")(x)
        # Every block starts as its shortcut, which is what makes few epochs enough (Goyal et al. 2017, section 5.1).
        x = self._convolution(x, 4 * filters, 1, f"{name}_3", gamma="zeros")
        x = layers.Add(name=f"{name}_add")([shortcut, x])
        return layers.ReLU(name=f"{name}_out")(x)

    def backbone(self, size: Size) -> keras.Model:
        """Returns a model from preprocessed pixels float32 [b, height, width, 3] to features.

        These are [b, height / 32, width / 32, 2048 * width].
        """
        inputs = x = image_input(size)
        x = layers.ZeroPadding2D(3, name="conv1_pad")(x)
        x = self._convolution(x, self._channels(64), 7, "conv1", strides=2)
        x = layers.ReLU(name="conv1_relu")(x)
        x = layers.ZeroPadding2D(1, name="pool1_pad")(x)
        x = layers.MaxPooling2D(3, 2, name="pool1_pool")(x)
        for stage, count in enumerate(self.blocks):
            for block in range(count):
                stride = 2 if stage and not block else 1
                name = f"conv{stage + 2}_block{block + 1}"
                x = self._block(x, self._channels(64 * 2**stage), stride, not block, name)
        return keras.Model(inputs, x, name="resnet")

    def published_file(self) -> str:
        if self != ResNet(topology="v1", head=self.head):
            return ""
        return "resnet/resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5"
