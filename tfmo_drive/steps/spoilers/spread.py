"""Spoils a network for quantisation: channels are rescaled by random factors, outputs stay as before.

The inverse of equalization (Nagel et al. 2019, figure 2, shows the same spread in a trained MobileNetV2): one scale for
a whole tensor then rounds most of its channels away. A control for post-training methods, never a compression.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from tfmo_drive.base.keras2 import keras
from tfmo_drive.contracts import BadInput, Context, Step
from tfmo_drive.networks import graph
from tfmo_drive.networks.fake_quant import refuse_quantize_aware
from tfmo_drive.surgery.channel_scales import ChannelScales


@dataclasses.dataclass(frozen=True)
class Spread(Step):
    """Multiplies every channel whose scale is free by a random factor, log-uniform over `decades` powers of ten."""

    decades: float = 3.0

    preserves = ("sparsity",)

    def __post_init__(self):
        # float32 has 7 digits: beyond 6 decades a sum of such channels would no longer be the same number.
        if not 0 <= self.decades <= 6:
            raise BadInput(f"Spread.decades must be in [0, 6], got {self.decades}.")

    def __call__(self, model: keras.Model, context: Context) -> keras.Model:
        refuse_quantize_aware(model, "Spread")
        scales = ChannelScales(graph.flat(model))
        generator = np.random.default_rng([context.seed, 0x5B8EAD])
        powers = generator.uniform(-self.decades / 2, self.decades / 2, len(scales.free))
        return scales.rescaled(np.where(scales.free, 10.0**powers, 1.0))

    def reload(self, model: keras.Model, weights: Path, context: Context) -> keras.Model:
        made = graph.copied(model)
        made.load_weights(str(weights))
        return made
