"""8-bit quantization-aware training on tfmot: Jacob et al. 2018; BatchNorm frozen late as in Krishnamoorthi 2018.

With `preserve="sparsity"` it is tfmot's collaborative PQAT: zeros found when it starts stay zeros.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow_model_optimization as tfmot
from tensorflow_model_optimization.python.core.quantization.keras.collab_opts.prune_preserve import (
    default_8bit_prune_preserve_quantize_scheme as prune_preserve,
)

from tfmo_drive.contracts import Artifact, BadInput, BrokenPromise, Context
from tfmo_drive.core import fake_quant
from tfmo_drive.core.keras2 import keras
from tfmo_drive.core.training import Hooks, TrainedStep, copy

PRESERVABLE = ("", "sparsity")


@dataclasses.dataclass(frozen=True, kw_only=True)
class QuantizeAware(TrainedStep):
    """Train with fake-quantised weights (per channel) and activations (per tensor), ranges started from calibration.

    `preserve`: "" or "sparsity". BatchNorm (statistics, scale and shift) is frozen after `freeze_bn_after` of the
    epochs, rounded down: a single epoch is trained with BatchNorm frozen throughout.
    """

    epochs: int = 2
    learning_rate: float = 0.001
    warmup_epochs: float = 0.0
    preserve: str = ""
    freeze_bn_after: float = 0.5
    calibration_images: int = 256

    def __post_init__(self):
        super().__post_init__()
        if self.preserve not in PRESERVABLE:
            raise BadInput(f'QuantizeAware.preserve must be "" or "sparsity", got {self.preserve!r}.')
        if not 0 <= self.freeze_bn_after <= 1:
            raise BadInput(f"QuantizeAware.freeze_bn_after must be in [0, 1], got {self.freeze_bn_after}.")
        if self.calibration_images < 1:
            raise BadInput(f"QuantizeAware.calibration_images must be at least 1, got {self.calibration_images}.")

    guarantees = "int8"

    @property
    def keeps(self) -> tuple[str, ...]:
        return (self.preserve,) if self.preserve else ()

    @property
    def promise(self) -> str:
        return "int8"

    def structure(self, model: keras.Model, context: Context) -> keras.Model:
        """Built from the model before, whose zeros are what tfmot's preserving masks are made of."""
        quantize = tfmot.quantization.keras
        scheme = [prune_preserve.Default8BitPrunePreserveQuantizeScheme()] if self.preserve == "sparsity" else []
        try:
            return quantize.quantize_apply(quantize.quantize_annotate_model(copy(model)), *scheme)
        except (ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:300]
            raise BadInput(f"QuantizeAware cannot quantise {model.name}: {reason} Replace that layer.") from error

    def prepared(self, model: keras.Model, context: Context) -> tuple[keras.Model, Hooks]:
        quantized = self.structure(model, context)
        rule = context.task.preprocessing
        inputs = rule(context.calibration(self.calibration_images))
        # Rows are recorded in time: the mean of what stretches of them reach would clip what all of them reach.
        size = 64 if rule.limits else len(inputs)
        fake_quant.calibrate(quantized, [inputs[i : i + size] for i in range(0, len(inputs), size)])
        frozen_from = int(self.epochs * self.freeze_bn_after)

        def freeze_late(epoch: int, trained: keras.Model) -> bool:
            return epoch >= frozen_from and _set_bn_trainable(trained, False)

        return quantized, Hooks(before_epoch=freeze_late, tracing=fake_quant.fast)

    def finished(self, trained: keras.Model) -> keras.Model:
        _set_bn_trainable(trained, True)
        return trained

    def check(self, model: keras.Model) -> None:
        if not fake_quant.is_quantize_aware(model):
            raise BrokenPromise("QuantizeAware promised int8, but a later step dropped its fake-quant layers.")

    def check_artifact(self, artifact: Artifact) -> None:
        floats = [name for name, value in artifact.weights().items() if value.ndim >= 2 and value.dtype != np.int8]
        if floats:
            names = ", ".join(floats[:3])
            raise BrokenPromise(f"QuantizeAware promised int8, but {artifact.path} keeps {names} wider.")


def _set_bn_trainable(model: keras.Model, trainable: bool) -> bool:
    """Freeze or thaw BatchNorm; True when that changed anything, so that the graph must be traced again."""
    found = [getattr(layer, "layer", layer) for layer in model.layers]
    changed = [bn for bn in found if isinstance(bn, keras.layers.BatchNormalization) and bn.trainable != trainable]
    for bn in changed:
        bn.trainable = trainable
    return bool(changed)
