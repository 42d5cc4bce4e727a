"""Prunes weights to zeros while they train: Zhu & Gupta 2017, "To prune, or not to prune".

tfmot sorts every kernel inside the training graph to find a threshold (1.8 s for ResNet50). Here the masks come from a
selection, not a sort, outside the graph. 2:4 is NVIDIA's fine-grained structured sparsity (Mishra et al. 2021), along
input channels.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tfmo_drive.base.keras2 import keras
from tfmo_drive.contracts import Artifact, BadInput, Context, Step
from tfmo_drive.data import batches
from tfmo_drive.networks import layers
from tfmo_drive.steps import criteria
from tfmo_drive.steps.criteria import Criterion, Magnitude
from tfmo_drive.surgery import masks, sensitivity_curves, sparse_training
from tfmo_drive.surgery.sparse_training import Ramp, UpdateMasks
from tfmo_drive.training.trained_step import Hooks, KernelStep

ALLOCATIONS = ("uniform", "lamp", "global")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prune(KernelStep):
    """Zeroes a fraction of every kernel while training on; the zeros stay through later steps.

    Args:
        sparsity: The fraction of zeros at the end, in [0, 1).
        schedule: "polynomial" or "constant", tfmot's.
        initial_sparsity: The fraction of zeros at the ramp's begin, in [0, sparsity].
        begin_epoch: The ramp's begin in epochs.
        end_epoch: The ramp's end in epochs; by default half of what is left.
        frequency: The steps between updates; by default derived so that the last update falls on the ramp's end, with
            at least 20 updates where there are steps enough.
        pattern: "unstructured", "2:4" (of every 4 along the input channels, 2 are zero) or a block as "4x1" (rows of
            the flattened [k*k*c_in, c_out] kernel by columns).
        criterion: How weights are ranked (Magnitude, Gradient, SNIP, Chance, or one of your own).
        threshold: Zero all weights that score below it instead. How many these are is then not known beforehand, and
            the step promises only that there are zeros.
        allocation: "uniform" (tfmot's: every kernel the same fraction), or the same total as "lamp" (layer-adaptive,
            small kernels spared), "global" (all weights in one ranking) or, from the path of a study (sparsity.json),
            at one common drop of the score when the smallest go.
        skip: The names of layers that keep their weights.

    Raises:
        BadInput: A setting is out of its range, or two exclude one another.

    Example:
        >>> import tfmo_drive as td
        >>> td.Prune(sparsity=0.7).promise
        '70% zeros'
    """

    sparsity: float = 0.5
    epochs: int = 4
    learning_rate: float = 0.03
    schedule: str = "polynomial"
    initial_sparsity: float = 0.0
    begin_epoch: float = 0.0
    end_epoch: float | None = None
    frequency: int | None = None
    pattern: str = "unstructured"
    criterion: Criterion = Magnitude()
    threshold: float | None = None
    allocation: str = "uniform"
    skip: tuple[str, ...] = ()

    def __post_init__(self):
        super().__post_init__()
        if not isinstance(self.criterion, Criterion):
            raise BadInput(f"Prune.criterion must be a Criterion such as Magnitude(), got {self.criterion!r}.")
        Ramp.of(self).refuse("Prune")
        sensitivity_curves.refuse("Prune.allocation", self.allocation, ALLOCATIONS)
        if self.allocation != "uniform" and self.pattern != "unstructured":
            raise BadInput(f'Prune.allocation {self.allocation} needs pattern unstructured, got "{self.pattern}".')
        if self.threshold is not None and not self.threshold >= 0:
            raise BadInput(f"Prune.threshold must be at least 0 (or None: a fraction), got {self.threshold}.")
        if self.threshold is not None and (self.allocation, self.pattern) != ("uniform", "unstructured"):
            raise BadInput(
                f"Prune.threshold takes no allocation and no pattern, got {self.threshold}, {self.allocation}, "
                f"{self.pattern}. Leave those out."
            )
        if self._pattern == (2, 4) and self.sparsity != 0.5:
            raise BadInput(f"Prune.pattern 2:4 means sparsity 0.5, got {self.sparsity}. Leave sparsity out.")

    provides = "sparsity"
    preserves = ("sparsity",)

    def undoes(self, earlier: Step) -> bool:
        """Says whether pruning again would undo `earlier`.

        The same zeros stay only with as many or more and an equal pattern.
        """
        if not isinstance(earlier, Prune):
            return super().undoes(earlier)
        alike = (self.allocation, self.threshold, self.pattern) == (
            earlier.allocation, earlier.threshold, earlier.pattern
        )  # fmt: skip
        return not alike or self.sparsity < earlier.sparsity or not set(self.skip) <= set(earlier.skip)

    def to_preserve(self, provided: Sequence[str]) -> str:
        again = "Prune once, or the second time to at least as many zeros, with equal pattern, allocation and skip."
        return again if set(provided) == {"sparsity"} else ""

    @property
    def files(self) -> tuple[Path, ...]:
        return super().files + sensitivity_curves.files(self.allocation)

    @property
    def promise(self) -> str:
        if self.threshold is not None:
            return f"zeros below {self.threshold:g}"
        return f"{self.sparsity:.0%} zeros" + ("" if self.pattern == "unstructured" else f", {self.pattern}")

    @property
    def ramp(self) -> Ramp:
        """Returns when how many weights are zero; under a threshold only the way there is read from it."""
        ramp = Ramp.of(self)
        return ramp if self.threshold is None else dataclasses.replace(ramp, sparsity=self.sparsity or 0.5)

    @property
    def _pattern(self) -> masks.Pattern:
        return masks.pattern(self.pattern, "Prune.pattern")

    def prepared(self, model: keras.Model, context: Context) -> tuple[keras.Model, Hooks]:
        model = self.outline(model)
        steps = batches.steps_per_epoch(len(context.task.examples("train")), self.batch_size)
        wrapped = sparse_training.masked(model, {one.name for one in layers.kernels(model) if self.changeable(one)})
        update = self.updates(wrapped, steps, context)
        if not self.epochs:  # one shot
            update.finish()
        return wrapped, Hooks(callbacks=(update,), best_from_epoch=self.ramp.settled_epoch(steps))

    def updates(self, wrapped: keras.Model, steps_per_epoch: int, context: Context) -> UpdateMasks:
        """Returns the callback that updates the masks of a `masked` model while it is trained."""
        weights, pattern = sparse_training.weights(wrapped), self._pattern
        first = criteria.scores(self.criterion, wrapped, weights, context)
        final, kept = self.final_sparsities(first), first if self.criterion.once else None

        def masks_at(way: float) -> dict[str, np.ndarray]:
            scores = kept or criteria.scores(self.criterion, wrapped, weights, context)
            return {name: masks.largest(scores[name], final[name] * way, pattern) for name in weights}

        return UpdateMasks(self.ramp, steps_per_epoch, wrapped, masks_at)

    def final_sparsities(self, scores: dict[str, np.ndarray]) -> dict[str, float]:
        """Returns each kernel's final sparsity, from the scores of the weights that pruning starts with."""
        values = list(scores.values())
        if self.threshold is not None:
            shares = masks.above(values, self.threshold)
        elif self.allocation == "uniform":
            shares = [self.sparsity] * len(values)
        elif sensitivity_curves.names_file(self.allocation):
            curves = sensitivity_curves.curves(self.allocation, "sparsity")
            found = curves.shares({name: value.size for name, value in scores.items()}, self.sparsity)
            shares = [min(found[name], 1 - 1 / value.size) for name, value in scores.items()]
        else:
            shares = {"lamp": masks.lamp, "global": masks.ranked}[self.allocation](values, self.sparsity)
        return dict(zip(scores, shares, strict=True))

    def finished(self, trained: keras.Model) -> keras.Model:
        return sparse_training.stripped(trained)

    def _counts(self, name: str, kernel: np.ndarray) -> bool:
        """Says whether a file's kernel can have been pruned: input channels are last in .tflite, second in .onnx."""
        if name.split("/")[0] in self.skip:
            return False
        return self._pattern != (2, 4) or any(kernel.shape[axis] % 4 == 0 for axis in (-1, 1))

    _wider = 'Skip fewer layers, or use pattern="unstructured".'

    def changeable(self, kernel: layers.Kernel) -> bool:
        return kernel.name not in self.skip and masks.fits(kernel.variable.shape, self._pattern)

    def check(self, model: keras.Model) -> None:
        values = {k.name: k.variable.numpy() for k in layers.kernels(model) if self.changeable(k)}
        if not values:
            return
        promised = f"Prune promised {self.promise}"
        if self.threshold is not None:
            whole = np.concatenate([value.reshape(-1) for value in values.values()])
            sparse_training.check_zeros(promised, {"the model": whole}, 1 / whole.size)
        elif self.allocation != "uniform":  # the promise is of the total alone
            sparse_training.check_zeros_in_total(promised, values, self.sparsity)
        else:
            sparse_training.check_zeros(promised, values, self.sparsity, self._pattern)

    def check_artifact(self, artifact: Artifact) -> None:
        if self.threshold is None:
            block = math.prod(map(int, re.findall(r"\d+", self.pattern)))
            sparse_training.check_file(f"Prune promised {self.promise}", artifact, self.sparsity, self._counts, block)
