"""Spoils a network for quantisation: channels are rescaled by random factors, outputs stay as before.

The inverse of equalization (Nagel et al. 2019, figure 2, shows the same spread in a trained MobileNetV2): one scale for
a whole tensor then rounds most of its channels away. A control for post-training methods, never a compression.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from tfmo_drive.base.keras2 import keras
from tfmo_drive.contracts import BadInput, Context
from tfmo_drive.networks import graph
from tfmo_drive.surgery.channel_scales import ChannelScales
from tfmo_drive.surgery.untrained_step import UntrainedStep


@dataclasses.dataclass(frozen=True)
class Spread(UntrainedStep):
    """Multiplies every channel whose scale is free by a random factor, log-uniform over `decades` powers of ten."""

    decades: float = 3.0

    preserves = ("sparsity",)

    def __post_init__(self):
        # float32 has 7 digits: beyond 6 decades a sum of such channels would no longer be the same number.
        if not 0 <= self.decades <= 6:
            raise BadInput(f"Spread.decades must be in [0, 6], got {self.decades}.")

    def changed(self, model: keras.Model, context: Context) -> keras.Model:
        scales = ChannelScales(graph.flat(model))
        generator = np.random.default_rng([context.seed, 0x5B8EAD])
        powers = generator.uniform(-self.decades / 2, self.decades / 2, len(scales.free))
        return scales.rescaled(np.where(scales.free, 10.0**powers, 1.0))
