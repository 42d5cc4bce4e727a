"""Prunes weights to zeros on tfmot's wrappers and schedules: Zhu & Gupta 2017, "To prune, or not to prune".

tfmot sorts every kernel inside the training graph to find a threshold (1.8 s for ResNet50). Here tfmot's wrappers hold
and apply the masks and tfmot's schedule says when and how sparse; the masks themselves come from a selection, not a
sort, outside the graph. 2:4 is NVIDIA's fine-grained structured sparsity (Mishra et al. 2021), along input channels.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow_model_optimization as tfmot

from tfmo_drive.base.keras2 import keras, tf
from tfmo_drive.contracts import Artifact, BadInput, BrokenPromise, Context, Step
from tfmo_drive.data import batches
from tfmo_drive.networks import layers, plain_layers
from tfmo_drive.steps.criteria import Criterion, Magnitude
from tfmo_drive.surgery import masks, sensitivity_curves
from tfmo_drive.training.trained_step import Hooks, TrainedStep, copy

SCHEDULES = ("polynomial", "constant")
ALLOCATIONS = ("uniform", "lamp", "global")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prune(TrainedStep):
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
        if not 0 <= self.sparsity < 1:
            raise BadInput(f"Prune.sparsity must be in [0, 1), got {self.sparsity}.")
        if not 0 <= self.initial_sparsity <= self.sparsity:
            raise BadInput(f"Prune.initial_sparsity must be in [0, sparsity], got {self.initial_sparsity}.")
        if self.schedule not in SCHEDULES:
            raise BadInput(f"Prune.schedule must be one of {', '.join(SCHEDULES)}, got {self.schedule!r}.")
        if not 0 <= self.begin_epoch < self._end <= max(self.epochs, 1):
            raise BadInput(
                f"Prune needs 0 <= begin_epoch < end_epoch <= epochs, got {self.begin_epoch}, {self._end}, "
                f"{self.epochs}."
            )
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
        if self.frequency is not None and self.frequency < 1:
            raise BadInput(f"Prune.frequency must be at least 1 step (or None: derived), got {self.frequency}.")
        if masks.pattern(self.pattern) == (2, 4) and self.sparsity != 0.5:
            raise BadInput(f"Prune.pattern 2:4 means sparsity 0.5, got {self.sparsity}. Leave sparsity out.")

    provides = "sparsity"
    preserves = ("sparsity",)

    def refuse(self, model: keras.Model) -> None:
        self.outline(model)

    def outline(self, model: keras.Model) -> keras.Model:
        return plain_layers.with_kernels(model, "Prune")

    def structure(self, model: keras.Model, context: Context) -> keras.Model:
        return copy(self.outline(model))

    def undoes(self, earlier: Step) -> bool:
        """Says whether pruning again would undo `earlier`: the same zeros stay only with as many or more and an equal
        pattern."""
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
    def _end(self) -> float:
        """Returns the ramp's end; half of what is left by default, so that the rest recovers at full sparsity and a
        high learning rate."""
        return self.end_epoch if self.end_epoch is not None else (self.begin_epoch + max(self.epochs, 1)) / 2

    @property
    def promise(self) -> str:
        if self.threshold is not None:
            return f"zeros below {self.threshold:g}"
        return f"{self.sparsity:.0%} zeros" + ("" if self.pattern == "unstructured" else f", {self.pattern}")

    @property
    def _goal(self) -> float:
        """Returns what the schedule ends at; under a threshold only the way there is read from it."""
        return self.sparsity if self.threshold is None else 0.5

    def ramp(self, steps_per_epoch: int) -> tfmot.sparsity.keras.PruningSchedule:
        """Returns tfmot's schedule in steps: its last update is on the last step before `end`.

        So an epoch that ends there counts as one of full sparsity.
        """
        last = max(self.epochs * steps_per_epoch - 1, 0)
        begin = min(int(round(self.begin_epoch * steps_per_epoch)), last)
        end = min(max(int(round(self._end * steps_per_epoch)) - 1, begin), last)
        frequency = self.frequency or max(1, (end - begin) // 20)
        if self.schedule == "constant":
            return tfmot.sparsity.keras.ConstantSparsity(self._goal, begin, end_step=-1, frequency=frequency)
        begin = end - (end - begin) // frequency * frequency
        if begin == end:
            return tfmot.sparsity.keras.ConstantSparsity(self._goal, begin, end_step=-1, frequency=frequency)
        return tfmot.sparsity.keras.PolynomialDecay(
            self.initial_sparsity, self._goal, begin, end, power=3, frequency=frequency
        )

    def prepared(self, model: keras.Model, context: Context) -> tuple[keras.Model, Hooks]:
        model = self.outline(model)
        layers.refuse_unknown("Prune.skip", self.skip, (kernel.name for kernel in layers.kernels(model)))
        steps = batches.steps_per_epoch(len(context.task.examples("train")), self.batch_size)
        ramp = self.ramp(steps)
        wrapped = self._wrapped(model)
        update = _UpdateMasks(self, ramp, wrapped, context)
        if not self.epochs:  # one shot
            update.update(update.target)
        return wrapped, Hooks(callbacks=(update,), best_from_epoch=self._settled_epoch(ramp, steps))

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
        """Zeroes what is masked (the optimizer's last step moved it), and drops tfmot's wrappers."""
        _apply_masks(trained)
        return tfmot.sparsity.keras.strip_pruning(trained)

    def _counts(self, name: str, kernel: np.ndarray) -> bool:
        """Says whether a file's kernel can have been pruned: input channels are last in .tflite, second in .onnx."""
        if not layers.is_kernel(name, kernel) or name.split("/")[0] in self.skip:
            return False
        return masks.pattern(self.pattern) != (2, 4) or any(kernel.shape[axis] % 4 == 0 for axis in (-1, 1))

    def _settled_epoch(self, ramp, steps: int) -> int:
        """Returns the first epoch (from 0) that ends at full sparsity."""
        last = max(ramp.begin_step, ramp.end_step)
        return min(last // steps, max(self.epochs - 1, 0))

    def _prunable(self, kernel: layers.Kernel) -> bool:
        return kernel.name not in self.skip and masks.fits(kernel.variable.shape, masks.pattern(self.pattern))

    def _wrapped(self, model: keras.Model) -> keras.Model:
        """Returns a copy (tfmot's own function shares its weights with the argument) whose kernels carry tfmot's
        masks."""
        chosen = {kernel.name for kernel in layers.kernels(model) if self._prunable(kernel)}
        never = tfmot.sparsity.keras.ConstantSparsity(self.sparsity, begin_step=2**31 - 2, end_step=2**31 - 1)

        def clone(layer):
            if layer.name not in chosen:
                return layer.__class__.from_config(layer.get_config())
            return tfmot.sparsity.keras.prune_low_magnitude(layer.__class__.from_config(layer.get_config()), never)

        wrapped = keras.models.clone_model(model, clone_function=clone)
        for source, target in zip(model.layers, wrapped.layers, strict=True):
            target.set_weights(source.get_weights())
        return wrapped

    def check(self, model: keras.Model) -> None:
        values = {k.name: k.variable.numpy() for k in layers.kernels(model) if self._prunable(k)}
        least = self.sparsity
        if self.allocation != "uniform" or self.threshold is not None:  # the promise is of the total alone
            count, values = len(values), {"the model": np.concatenate([v.reshape(-1) for v in values.values()])}
            size = values["the model"].size
            least = 1 / size if self.threshold is not None else max(least - count / size, 0.0)  # rounding, per kernel
        for name, value in values.items():
            if not masks.holds(value, least, masks.pattern(self.pattern)):
                raise BrokenPromise(f"Prune promised {self.promise}; {name} has {np.mean(value == 0):.2%}.")

    def check_artifact(self, artifact: Artifact) -> None:
        found = [value for name, value in artifact.weights().items() if self._counts(name, value)]
        zeros = sum(int(np.sum(value == 0)) for value in found)
        size = max(1, sum(value.size for value in found))
        share = zeros / size
        block = math.prod(map(int, re.findall(r"\d+", self.pattern)))
        # A hundredth for what a target leaves to chance; in small kernels, the block that rounding keeps in each.
        if found and self.threshold is None and share < self.sparsity - max(0.01, block * len(found) / size):
            raise BrokenPromise(f"Prune promised {self.promise}, but {artifact.path} has {share:.1%}.")


class _UpdateMasks(keras.callbacks.Callback):
    """Computes the masks anew on the steps that tfmot's schedule names, in place of tfmot.UpdatePruningStep."""

    def __init__(self, step: Prune, ramp, wrapped: keras.Model, context: Context):
        super().__init__()
        self.wrapped = wrapped  # `self.model` may be a distiller around it
        self.ramp, self.pattern = ramp, masks.pattern(step.pattern)
        self.target = float(np.float32(step._goal)) or 1.0  # rounded as the schedule is, so that its end is exactly 1
        self.criterion, self.context = step.criterion, context
        self.weights = {layer.layer.name: layer.pruning_vars[0][0] for layer in _wrappers(wrapped)}
        first = self.criterion.scores(wrapped, self.weights, context)
        self.final = step.final_sparsities(first)
        self.kept = first if self.criterion.once else None

    def on_train_batch_begin(self, batch, logs=None):
        step = int(self.model.optimizer.iterations)
        due, sparsity = self.ramp(tf.constant(step, tf.int64))
        if bool(due):
            self.update(float(sparsity))

    def on_epoch_begin(self, epoch, logs=None):
        step = int(self.model.optimizer.iterations)
        for layer in _wrappers(self.wrapped):
            layer.pruning_step.assign(max(step, 1))

    def on_epoch_end(self, epoch, logs=None):
        _apply_masks(self.wrapped)
        masks_now = [mask for layer in _wrappers(self.wrapped) for _, mask, _ in layer.pruning_vars]
        kept = sum(float(tf.reduce_sum(mask)) for mask in masks_now)
        logs["sparsity"] = 1 - kept / max(1, sum(int(tf.size(mask)) for mask in masks_now))

    def update(self, sparsity: float):
        """Brings every kernel the same fraction of the way to its own final sparsity."""
        way = min(sparsity / self.target, 1.0)
        scores = self.kept or self.criterion.scores(self.wrapped, self.weights, self.context)
        for layer in _wrappers(self.wrapped):
            name, mask = layer.layer.name, layer.pruning_vars[0][1]
            mask.assign(masks.largest(scores[name], self.final[name] * way, self.pattern))


def _apply_masks(model: keras.Model) -> None:
    for layer in _wrappers(model):
        layer.pruning_obj.weight_mask_op()


def _wrappers(model: keras.Model) -> list:
    return [layer for layer in model.layers if hasattr(layer, "pruning_vars")]
