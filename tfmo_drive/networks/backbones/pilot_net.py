"""Builds PilotNet: Bojarski et al. 2016, "End to end learning for self-driving cars", arXiv:1604.07316, figure 4.

Five convolutions without padding, of which three have stride 2, then dense layers of 100, 50 and 10 units. At 66 x 200
pixels and one output these are 252,219 parameters: the usual reading, in which the 1,164 neurons of the figure are the
flattened map and no layer. The paper's first layer, which normalises images and is not trained, is the preprocessing
"tf", which every file computes from raw pixels. The paper shows the network YUV, which here is
`task.preprocessing_name=yuv/127.5-1`; by default it sees RGB.
"""

from __future__ import annotations

import dataclasses

from tfmo_drive.base.keras2 import keras
from tfmo_drive.contracts import BadInput
from tfmo_drive.networks.networks import LOGITS, Network, Size, image_input

layers = keras.layers
_CONVOLUTIONS = ((24, 5, 2), (36, 5, 2), (48, 5, 2), (64, 3, 1), (64, 3, 1))
"""Filters, kernel and stride of each convolution."""
_LEAST = 61
"""The side in pixels from which the last convolution finds a map of 3 x 3."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class PilotNet(Network):
    """Describes the paper's steering network; its dense layers are its head.

    Args:
        activation: "elu", as most implementations have it, or "relu", which int8 computes without a table. The paper
            names none.
        width: The factor on the filters of the convolutions.
        units: The units of the dense layers.

    Example:
        >>> import tfmo_drive as td
        >>> td.PilotNet(activation="relu").units
        (100, 50, 10)
    """

    activation: str = "elu"
    width: float = 1.0
    units: tuple[int, ...] = (100, 50, 10)

    preprocessing = "tf"

    def __post_init__(self):
        if self.activation not in ("elu", "relu"):
            raise BadInput(f"PilotNet.activation must be elu or relu, got {self.activation!r}.")
        if not 0 < self.width <= 4:
            raise BadInput(f"PilotNet.width must be in (0, 4], got {self.width}.")
        if not self.units or min(self.units) < 1:
            raise BadInput(f"PilotNet.units must be counts of at least 1, got {self.units}.")

    def backbone(self, size: Size) -> keras.Model:
        """Returns a model from preprocessed pixels float32 [b, height, width, 3] in [-1, 1] to features.

        Raises BadInput for images of which nothing would be left.
        """
        inputs = x = image_input(size)
        if min(inputs.shape[1:3]) < _LEAST:
            raise BadInput(
                f"task.image_size must be at least {_LEAST} pixels each way for PilotNet, whose convolutions have no "
                f"padding, got {inputs.shape[1]} x {inputs.shape[2]}. The paper's is 66,200."
            )
        for index, (filters, kernel, stride) in enumerate(_CONVOLUTIONS, start=1):
            filters = max(4, round(filters * self.width))
            x = layers.Conv2D(filters, kernel, stride, activation=self.activation, name=f"conv{index}")(x)
        return keras.Model(inputs, x, name="pilot_net")

    def head(self, features, outputs: int, name: str = LOGITS):
        """Applies the dense layers to a feature map [b, h, w, c].

        Returns float32 [b, outputs] from a layer called `name`.
        """
        x = layers.Flatten(name="flatten")(features)
        for index, units in enumerate(self.units, start=1):
            x = layers.Dense(units, activation=self.activation, name=f"dense{index}")(x)
        return layers.Dense(outputs, name=name)(x)
