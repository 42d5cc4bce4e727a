"""Builds a small convolutional student."""

from __future__ import annotations

import dataclasses

from tfmo_drive.base.keras2 import keras
from tfmo_drive.contracts import BadInput
from tfmo_drive.networks.networks import Head, Network, Size, image_input

layers = keras.layers


@dataclasses.dataclass(frozen=True, kw_only=True)
class SmallCNN(Network):
    """Describes a small student: convolutions with pooling, a dense layer, logits.

    BatchNorm keeps it trainable on inputs of any range: as a student it sees what its teacher was trained on. The last
    pooling leaves at most 11x11 features at any image size, so that the dense layer does not outgrow its teacher.

    Args:
        head: What turns features into outputs.
        filters: The filters of each convolution.
        batch_normalization: Whether BatchNorm follows each convolution.

    Example:
        >>> import tfmo_drive as td
        >>> td.SmallCNN(filters=(16, 32)).filters
        (16, 32)
    """

    head: Head = Head(pooling="flatten", units=128)
    filters: tuple[int, ...] = (32, 64)
    batch_normalization: bool = True
    preprocessing = "caffe"

    def __post_init__(self):
        if not self.filters or min(self.filters) < 1:
            raise BadInput(f"SmallCNN.filters must be counts of at least 1, got {self.filters}.")

    def backbone(self, size: Size) -> keras.Model:
        """Returns a model from preprocessed pixels float32 [b, height, width, 3] to features."""
        inputs = x = image_input(size)
        for index, filters in enumerate(self.filters, start=1):
            x = layers.Conv2D(filters, 3, name=f"conv{index}", use_bias=not self.batch_normalization)(x)
            if self.batch_normalization:
                x = layers.BatchNormalization(momentum=0.9, name=f"conv{index}_bn")(x)
            x = layers.ReLU(name=f"conv{index}_relu")(x)
            last = index == len(self.filters)
            pool = max(2, -(-max(x.shape[1:3]) // 11)) if last else 2
            x = layers.MaxPooling2D(pool, name=f"conv{index}_pool")(x)
        return keras.Model(inputs, x, name="small_cnn")
