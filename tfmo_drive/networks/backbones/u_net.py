"""Builds U-Net: Ronneberger et al. 2015, "U-Net: Convolutional networks for biomedical image segmentation".

Pairs of 3x3 convolutions, halved by max pooling and doubled by transposed convolutions, with the map of each level
handed across. The paper's has (64, 128, 256, 512, 1024) filters and no padding, so that its answer is smaller than the
image; here padding keeps the size, and BatchNorm follows each convolution, as is usual now. The default is a small one,
which trains from nothing.
"""

from __future__ import annotations

import dataclasses

from tfmo_drive.base.keras2 import keras
from tfmo_drive.contracts import BadInput
from tfmo_drive.networks.networks import Head, Network, Size, image_input

layers = keras.layers


@dataclasses.dataclass(frozen=True, kw_only=True)
class UNet(Network):
    """Describes a U-Net, whose features are as fine as the image.

    Args:
        head: What turns features into outputs, for tasks that answer for the whole image.
        filters: The filters of each level, from the finest to the coarsest.
        batch_normalization: Whether BatchNorm follows each convolution.

    Example:
        >>> import tfmo_drive as td
        >>> td.UNet(filters=(8, 16)).decodes
        True
    """

    head: Head = Head()
    filters: tuple[int, ...] = (16, 32, 64, 128)
    batch_normalization: bool = True

    preprocessing = "tf"
    decodes = True

    def __post_init__(self):
        if len(self.filters) < 2 or min(self.filters) < 1:
            raise BadInput(f"UNet.filters must be two counts or more of at least 1, got {self.filters}.")

    def _pair(self, x, filters: int, name: str):
        """Applies two 3x3 convolutions with ReLU."""
        for part in ("a", "b"):
            own = f"{name}{part}"
            x = layers.Conv2D(filters, 3, padding="same", use_bias=not self.batch_normalization, name=f"{own}_conv")(x)
            if self.batch_normalization:
                x = layers.BatchNormalization(momentum=0.9, name=f"{own}_bn")(x)
            x = layers.ReLU(name=f"{own}_relu")(x)
        return x

    def backbone(self, size: Size) -> keras.Model:
        """Returns a model from preprocessed pixels float32 [b, height, width, 3] in [-1, 1] to features.

        These are [b, height, width, filters[0]]. Raises BadInput where a side cannot be halved as often.
        """
        inputs = x = image_input(size)
        halved = 2 ** (len(self.filters) - 1)
        if any(side % halved for side in inputs.shape[1:3]):
            raise BadInput(
                f"task.image_size must be multiples of {halved} for a UNet of {len(self.filters)} levels, got "
                f"{inputs.shape[1]} x {inputs.shape[2]}."
            )
        across = []
        for level, filters in enumerate(self.filters[:-1], start=1):
            across.append(self._pair(x, filters, f"down{level}"))
            x = layers.MaxPooling2D(2, name=f"down{level}_pool")(across[-1])
        x = self._pair(x, self.filters[-1], "bottom")
        for level in range(len(across), 0, -1):
            filters = self.filters[level - 1]
            x = layers.Conv2DTranspose(filters, 2, 2, name=f"up{level}")(x)
            x = layers.Concatenate(name=f"up{level}_joined")([across[level - 1], x])
            x = self._pair(x, filters, f"up{level}")
        return keras.Model(inputs, x, name="u_net")
