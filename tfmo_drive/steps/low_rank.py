"""Factorises to low rank: a layer becomes a chain of thinner ones, where that saves multiply-accumulates.

SVD for dense layers and 1x1 convolutions; for k x k ones Tucker-2 (Kim et al. 2016) or k x 1 and 1 x k (Jaderberg et
al. 2014). The error that is least is that of the outputs (Zhang et al. 2016), or of the kernel alone.
"""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

from absl import logging

from tfmo_drive.base.keras2 import keras
from tfmo_drive.base.spelling import listed
from tfmo_drive.contracts import Arrays, BadInput, Context
from tfmo_drive.networks import graph, macs, own_model
from tfmo_drive.surgery import batch_norm, factors, sensitivity_curves
from tfmo_drive.surgery.factors import Factors
from tfmo_drive.training.trained_step import Hooks, TrainedStep

METHODS = ("tucker", "spatial")
ERRORS = ("outputs", "kernel")


@dataclasses.dataclass(frozen=True, kw_only=True)
class LowRank(TrainedStep):
    """Factorises kernels to the ranks that keep a fraction of their squared singular values, then trains on.

    A layer whose factors would not multiply less is skipped, and so are those that the model's outputs are made of:
    they are small, and a class of little energy is wanted as well. BatchNorm is estimated again before training.

    Args:
        energy: The fraction to keep, in (0, 1].
        macs: The fraction of multiply-accumulates to keep at most; the highest `energy` within it is then found.
        method: "tucker" or "spatial", for k x k convolutions.
        error: The error that is least: of the "outputs" (the kernel weighted by the second moments of the layer's
            inputs, and by the scale of the BatchNorm behind it) or of the "kernel".
        allocation: "uniform" is one energy for all layers; with the path of a study (rank.json) `energy` is their mean
            by multiply-accumulates, and layers share out one common drop of the score.
        multiple: Ranks are rounded up to multiples of this (what the hardware likes).
        calibration_images: The number of train images for the moments and for BatchNorm.
        skip: The names of layers that stay whole.

    Raises:
        BadInput: A setting is out of its range.

    Example:
        >>> import tfmo_drive as td
        >>> td.LowRank(method="tucker").method
        'tucker'
    """

    energy: float = 0.9
    macs: float | None = None
    method: str = "tucker"
    error: str = "outputs"
    allocation: str = "uniform"
    multiple: int = 8
    calibration_images: int = 256
    skip: tuple[str, ...] = ()
    epochs: int = 2
    learning_rate: float = 0.02

    def __post_init__(self):
        super().__post_init__()
        if not 0 < self.energy <= 1:
            raise BadInput(f"LowRank.energy must be in (0, 1], got {self.energy}.")
        if self.macs is not None and not 0 < self.macs <= 1:
            raise BadInput(f"LowRank.macs must be in (0, 1], got {self.macs}.")
        for name, known in (("method", METHODS), ("error", ERRORS)):
            if getattr(self, name) not in known:
                raise BadInput(f"LowRank.{name} must be one of {', '.join(known)}, got {getattr(self, name)!r}.")
        sensitivity_curves.refuse("LowRank.allocation", self.allocation, ("uniform",))
        if sensitivity_curves.names_file(self.allocation) and (self.method, self.error) != ("tucker", "outputs"):
            raise BadInput(
                f"LowRank.allocation: studies are of method tucker and error outputs, got {self.method}, {self.error}. "
                "Leave those out."
            )
        for name in ("multiple", "calibration_images"):
            if getattr(self, name) < 1:
                raise BadInput(f"LowRank.{name} must be at least 1, got {getattr(self, name)}.")

    @property
    def files(self) -> tuple[Path, ...]:
        return super().files + sensitivity_curves.files(self.allocation)

    def idle(self, model: keras.Model) -> str:
        flat = graph.flat(model)
        if self._chosen(flat):
            return ""
        kept = listed([layer.name for layer in flat.layers if factors.factorable(layer)])
        why = f"the layers that could be factorised make its outputs or are skipped ({kept})" if kept else (
            "it has no convolution and no dense layer that could be factorised"
        )  # fmt: skip
        return f"{why}. Leave LowRank out, or skip fewer layers."

    def _chosen(self, model: keras.Model) -> list[keras.layers.Layer]:
        """Returns the layers of a flat model that may be factorised."""
        kept = graph.last(model, factors.factorable) | set(self.skip)
        return [layer for layer in model.layers if factors.factorable(layer) and layer.name not in kept]

    def structure(self, model: keras.Model, context: Context) -> keras.Model:
        model = graph.flat(model)
        found, ranks = self.chosen(model, context)
        taken = {layer.name for layer in model.layers}
        return factors.replaced(model, {name: found[name].chain(one, taken) for name, one in ranks.items()})

    def chosen(self, model: keras.Model, context: Context) -> tuple[dict[str, Factors], dict[str, tuple[int, ...]]]:
        """Returns the factors of all kernels of a flat model that may be factorised, and the ranks of those that are.

        Both are by layer's name.
        """
        found = self._decomposed(model, context)
        whole = macs.of_model(model)
        ranks = self._ranks(found, self.energy) if self.macs is None else self._fitting(found, whole)
        cut = ", ".join(f"{name} {'x'.join(map(str, one))}" for name, one in ranks.items())
        left = (whole - _saved(found, ranks)) / max(1, whole)
        logging.info("%d layers factorised, %.3f of the multiply-accumulates left: %s", len(ranks), left, cut)
        return found, ranks

    def prepared(self, model: keras.Model, context: Context) -> tuple[keras.Model, Hooks]:
        thin = self.structure(model, context)
        if macs.of_model(thin) < macs.of_model(model):
            batch_norm.reestimate(thin, self._calibration(context))
        return thin, Hooks()

    def reload(self, model: keras.Model, weights: Path, context: Context) -> keras.Model:
        """Reads the finished stage back: the file knows the ranks, so they need not be found again."""
        return own_model.load(weights, "The finished stage", context.task.allow_code)

    def _calibration(self, context: Context) -> Arrays:
        return context.task.preprocessing(context.calibration(self.calibration_images))

    def _decomposed(self, model: keras.Model, context: Context) -> dict[str, Factors]:
        """Returns, by layer's name, the kernels that may be factorised."""
        chosen = self._chosen(model)
        weightings = dict.fromkeys((layer.name for layer in chosen), None)
        if self.error == "outputs" and chosen:
            weightings = factors.weightings(model, list(weightings), self._calibration(context))
        spatial = self.method == "spatial"
        return {layer.name: factors.decompose(layer, spatial, weightings[layer.name]) for layer in chosen}

    def _ranks(self, found: dict[str, Factors], energy: float) -> dict[str, tuple[int, ...]]:
        """Returns the ranks of the layers that this makes cheaper."""
        lost = dict.fromkeys(found, 1 - energy)
        if sensitivity_curves.names_file(self.allocation):
            sizes = {name: macs.of_layer(one.layer) for name, one in found.items()}
            lost = sensitivity_curves.curves(self.allocation, "rank").shares(sizes, 1 - energy)
        ranks = {name: one.ranks(1 - lost[name], self.multiple) for name, one in found.items()}
        return {name: one for name, one in ranks.items() if found[name].macs(one) < macs.of_layer(found[name].layer)}

    def _fitting(self, found: dict[str, Factors], whole: int) -> dict[str, tuple[int, ...]]:
        """Returns the ranks of the highest energy within the budget, by bisection.

        BadInput says the smallest budget that can be met.
        """

        def left(energy: float) -> float:
            return (whole - _saved(found, self._ranks(found, energy))) / max(1, whole)

        if left(1.0) <= self.macs:
            return self._ranks(found, 1.0)
        if left(0.0) > self.macs:
            raise BadInput(
                f"LowRank.macs={self.macs} cannot be met with ranks of at least {self.multiple}: "
                f"{math.ceil(left(0.0) * 1e4) / 1e4} is the smallest. Ask for that, or lower multiple."
            )
        low, high = 0.0, 1.0
        for _ in range(32):
            middle = (low + high) / 2
            low, high = (middle, high) if left(middle) <= self.macs else (low, middle)
        return self._ranks(found, low)


def _saved(found: dict[str, Factors], ranks: dict[str, tuple[int, ...]]) -> int:
    """Returns how many multiply-accumulates fewer the factors need than their layers."""
    return sum(macs.of_layer(found[name].layer) - found[name].macs(one) for name, one in ranks.items())
