"""Trains quantization-aware in 8 bits on tfmot: Jacob et al. 2018; BatchNorm frozen late as in Krishnamoorthi 2018.

What `preserve` names is found at the start and stays: "sparsity" zeros (as tfmot's collaborative PQAT), "clusters" the
values that the weights of a kernel share (its CQAT), "sparsity+clusters" both (its PCQAT). tfmot's own schemes are not
used: that for zeros loses those before a ReLU, those for clusters round each output channel on its own scale, which
makes other values of the same ones, lose clusters on ResNet50 and turn 1x1 kernels into zeros (issues 1056 and 979 of
tensorflow/model-optimization). Here the weights that share a value move together, as in Deep Compression (Han et al.
2016), and a kernel has one range.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from tfmo_drive.base.inputs import count, pieces
from tfmo_drive.base.keras2 import keras
from tfmo_drive.contracts import Artifact, BadInput, BrokenPromise, Context
from tfmo_drive.networks import fake_quant, layers
from tfmo_drive.networks.integers import integer_layers, quantize_scheme
from tfmo_drive.surgery import clusters
from tfmo_drive.training.trained_step import Hooks, TrainedStep

PRESERVABLE = ("", "sparsity", "clusters", "sparsity+clusters")


@dataclasses.dataclass(frozen=True, kw_only=True)
class QuantizeAware(TrainedStep):
    """Trains with fake-quantised weights (per channel) and activations (per tensor), ranges started from calibration.

    The model is rewritten first in layers that one integer operator computes each (`networks.integers`): a BatchNorm
    that no convolution right before it absorbs is folded into the layer beside it, or stands behind a depthwise 1x1
    convolution of its own. Where no epoch is as good on val as the calibrated
    model before training, that is the result.

    Args:
        preserve: "", "sparsity", "clusters" or "sparsity+clusters"; kernels with shared weights have one range for all
            channels.
        freeze_bn_after: BatchNorm (statistics, scale and shift) is frozen after this share of the epochs, in [0, 1],
            rounded down: a single epoch is trained with BatchNorm frozen throughout.
        calibration_images: The number of train images from which activation ranges start.

    Raises:
        BadInput: A setting is out of its range.

    Example:
        >>> import tfmo_drive as td
        >>> td.QuantizeAware(epochs=2, preserve="sparsity").preserves
        ('sparsity',)
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
            known = ", ".join(f'"{text}"' for text in PRESERVABLE)
            raise BadInput(f"QuantizeAware.preserve must be one of {known}, got {self.preserve!r}.")
        if not 0 <= self.freeze_bn_after <= 1:
            raise BadInput(f"QuantizeAware.freeze_bn_after must be in [0, 1], got {self.freeze_bn_after}.")
        if self.calibration_images < 1:
            raise BadInput(f"QuantizeAware.calibration_images must be at least 1, got {self.calibration_images}.")

    promise = provides = "int8"

    @property
    def preserves(self) -> tuple[str, ...]:
        return tuple(self.preserve.split("+")) if self.preserve else ()

    def refuse(self, model: keras.Model) -> None:
        try:
            known = (self.preserve, model.to_json())
        except (NotImplementedError, TypeError, ValueError):  # a layer of a user's own without a description
            known = None
        if known not in _TAKEN:
            self._quantisable(model)
            if known:
                _TAKEN.add(known)

    def outline(self, model: keras.Model) -> keras.Model:
        return self.structure(model, None)

    def structure(self, model: keras.Model, context: Context | None) -> keras.Model:
        """Returns the model before with fake quantisers, whose zeros and shared weights are what is preserved."""
        made = quantize_scheme.quantised(self._quantisable(model), self._shares, "sparsity" in self.preserves)
        fake_quant.freeze_what_does_not_train(made)
        return made

    def _quantisable(self, model: keras.Model) -> keras.Model:
        """Returns a copy in layers of one integer operator each; raises BadInput for those that have none."""
        made = integer_layers.integer_form(model, fold="clusters" not in self.preserves)
        if unknown := quantize_scheme.unsupported(made):
            more = f" and {len(unknown) - 3} more" if len(unknown) > 3 else ""
            raise BadInput(
                f"QuantizeAware cannot quantise {model.name}: there is no fake-quantised form of "
                f"{', '.join(unknown[:3])}{more}. Replace those layers, or leave QuantizeAware out: "
                "tfmo-drive lint says whether int8 without training takes them, and what else does."
            )
        return made

    def _shares(self, kernel: np.ndarray) -> bool:
        """Says whether a kernel's shared weights are to stay shared."""
        return "clusters" in self.preserves and clusters.found_values(kernel) is not None

    def prepared(self, model: keras.Model, context: Context) -> tuple[keras.Model, Hooks]:
        quantized = self.structure(model, context)
        self.check(quantized)
        rule = context.task.preprocessing
        inputs = rule(context.calibration(self.calibration_images))
        # Rows are recorded in time: the mean of what stretches of them reach would clip what all of them reach.
        size = 64 if all(one.input_range for one in rule.each) else count(inputs)
        fake_quant.calibrate(quantized, pieces(inputs, size), rule)
        frozen_from = int(self.epochs * self.freeze_bn_after)

        def freeze_late(epoch: int, trained: keras.Model) -> bool:
            return epoch >= frozen_from and _set_bn_trainable(trained, False)

        sharing = clusters.ShareWeights(self._shared(quantized))
        return quantized, Hooks(
            callbacks=(sharing,), before_epoch=freeze_late, tracing=fake_quant.fast, variables=sharing.variables,
            start_counts=True,
        )  # fmt: skip

    def _shared(self, quantized: keras.Model) -> Iterator[clusters.SharedKernel]:
        """Yields the kernels whose weights stay together while they train."""
        for kernel in layers.kernels(quantized) if "clusters" in self.preserves else ():
            values = clusters.found_values(kernel.variable.numpy())
            if values is not None:
                yield clusters.SharedKernel(kernel.variable, values, free=False, zeros="sparsity" in self.preserves)

    def finished(self, trained: keras.Model) -> keras.Model:
        _set_bn_trainable(trained, True)
        fake_quant.widen(trained)  # channels may have died in training
        return trained

    def check(self, model: keras.Model) -> None:
        if not fake_quant.is_quantize_aware(model):
            raise BrokenPromise("QuantizeAware promised int8; no layer is fake-quantised any more.")
        if left := quantize_scheme.float_kernels(model):
            names = ", ".join(left[:3])
            raise BrokenPromise(f"QuantizeAware promised int8; {len(left)} kernels would stay in float: {names}.")

    def check_artifact(self, artifact: Artifact) -> None:
        floats = [name for name, value in artifact.weights().items() if value.ndim >= 2 and value.dtype != np.int8]
        if floats:
            names = ", ".join(floats[:3])
            raise BrokenPromise(f"QuantizeAware promised int8, but {artifact.path} keeps {names} wider.")


_TAKEN: set[tuple[str, str]] = set()
"""What was not refused: settings and structures. A whole network takes seconds to rewrite, and is asked about often."""


def _set_bn_trainable(model: keras.Model, trainable: bool) -> bool:
    """Freezes or thaws BatchNorm and returns whether that changed anything, so that the graph must be traced again."""
    found = [getattr(layer, "layer", layer) for layer in model.layers]
    changed = [bn for bn in found if isinstance(bn, keras.layers.BatchNormalization) and bn.trainable != trainable]
    for bn in changed:
        bn.trainable = trainable
    return bool(changed)
