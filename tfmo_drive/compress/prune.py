"""Magnitude pruning to zeros on tfmot's wrappers and schedules: Zhu & Gupta 2017, "To prune, or not to prune".

tfmot sorts every kernel inside the training graph to find a threshold (1.8 s for ResNet50). Here tfmot's wrappers hold
and apply the masks and tfmot's schedule says when and how sparse; the masks themselves come from a selection, not a
sort, outside the graph. 2:4 is NVIDIA's fine-grained structured sparsity (Mishra et al. 2021), along input channels.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow_model_optimization as tfmot
from absl import logging

from tfmo_drive.contracts import Artifact, BadInput, BrokenPromise, Context
from tfmo_drive.core import batches, layers, masks
from tfmo_drive.core.keras2 import keras, tf
from tfmo_drive.core.training import Hooks, TrainedStep

SCHEDULES = ("polynomial", "constant")
ALLOCATIONS = ("uniform", "lamp")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prune(TrainedStep):
    """Zero a fraction of every kernel while training on; the zeros stay through later steps.

    `pattern`: "unstructured", "2:4" (of every 4 along the input channels, 2 are zero) or a block as "4x1" (rows of the
    flattened [k*k*c_in, c_out] kernel by columns). Begin and end are in epochs; the update frequency (in steps)
    is derived so that the last update falls on the ramp's end, with at least 20 updates where there are steps enough.
    `allocation`: "uniform" (tfmot's: every kernel the same fraction) or "lamp" (the same total, small kernels spared).
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
        if self.allocation not in ALLOCATIONS:
            raise BadInput(f"Prune.allocation must be one of {', '.join(ALLOCATIONS)}, got {self.allocation!r}.")
        if self.allocation != "uniform" and self.pattern != "unstructured":
            raise BadInput(f'Prune.allocation {self.allocation} needs pattern unstructured, got "{self.pattern}".')
        if self.frequency is not None and self.frequency < 1:
            raise BadInput(f"Prune.frequency must be at least 1 step (or None: derived), got {self.frequency}.")
        if masks.pattern(self.pattern) == (2, 4) and self.sparsity != 0.5:
            raise BadInput(f"Prune.pattern 2:4 means sparsity 0.5, got {self.sparsity}. Leave sparsity out.")

    guarantees = "sparsity"
    keeps = ("sparsity",)

    @property
    def _end(self) -> float:
        """Half of what is left by default: the rest recovers at full sparsity, the learning rate still being high."""
        return self.end_epoch if self.end_epoch is not None else (self.begin_epoch + max(self.epochs, 1)) / 2

    @property
    def promise(self) -> str:
        return f"{self.sparsity:.0%} zeros" + ("" if self.pattern == "unstructured" else f", {self.pattern}")

    def ramp(self, steps_per_epoch: int) -> tfmot.sparsity.keras.PruningSchedule:
        """tfmot's schedule in steps: first update on `begin`, the last one on the last step before `end`, so that an
        epoch that ends there counts as one of full sparsity."""
        last = max(self.epochs * steps_per_epoch - 1, 0)
        begin = min(int(round(self.begin_epoch * steps_per_epoch)), last)
        end = min(max(int(round(self._end * steps_per_epoch)) - 1, begin), last)
        frequency = self.frequency or max(1, (end - begin) // 20)
        if self.schedule == "constant":
            return tfmot.sparsity.keras.ConstantSparsity(self.sparsity, begin, end_step=-1, frequency=frequency)
        begin = end - (end - begin) // frequency * frequency
        if begin == end:
            return tfmot.sparsity.keras.ConstantSparsity(self.sparsity, begin, end_step=-1, frequency=frequency)
        return tfmot.sparsity.keras.PolynomialDecay(
            self.initial_sparsity, self.sparsity, begin, end, power=3, frequency=frequency
        )

    def prepared(self, model: keras.Model, context: Context) -> tuple[keras.Model, Hooks]:
        layers.refuse_unknown("Prune.skip", self.skip, (kernel.name for kernel in layers.kernels(model)))
        steps = batches.steps_per_epoch(len(context.task.examples("train")), self.batch_size)
        ramp = self.ramp(steps)
        wrapped = self._wrapped(model)
        update = _UpdateMasks(self, ramp, wrapped)
        if not self.epochs:  # one shot
            update.update(update.target)
        return wrapped, Hooks(callbacks=(update,), best_from_epoch=self._settled_epoch(ramp, steps))

    def final_sparsities(self, wrapped: keras.Model) -> dict[str, float]:
        """By wrapper's name, from the weights that pruning starts with."""
        found = _wrappers(wrapped)
        if self.allocation == "uniform":
            return dict.fromkeys((layer.name for layer in found), self.sparsity)
        kernels = [layer.pruning_vars[0][0].numpy() for layer in found]
        return dict(zip((layer.name for layer in found), masks.lamp(kernels, self.sparsity), strict=True))

    def finished(self, trained: keras.Model) -> keras.Model:
        """Zero what is masked (the optimizer's last step moved it), and drop tfmot's wrappers."""
        _apply_masks(trained)
        return tfmot.sparsity.keras.strip_pruning(trained)

    def _counts(self, name: str, kernel: np.ndarray) -> bool:
        """Whether a file's kernel can have been pruned: input channels are last in .tflite, second in .onnx."""
        if not layers.is_kernel(name, kernel) or name.split("/")[0] in self.skip:
            return False
        return masks.pattern(self.pattern) != (2, 4) or any(kernel.shape[axis] % 4 == 0 for axis in (-1, 1))

    def _settled_epoch(self, ramp, steps: int) -> int:
        """The first epoch (from 0) that ends at full sparsity."""
        last = max(ramp.begin_step, ramp.end_step)
        return min(last // steps, max(self.epochs - 1, 0))

    def _prunable(self, kernel: layers.Kernel) -> bool:
        return kernel.name not in self.skip and masks.fits(kernel.variable.shape, masks.pattern(self.pattern))

    def _wrapped(self, model: keras.Model) -> keras.Model:
        """A copy (tfmot's own function shares its weights with the argument) whose kernels carry tfmot's masks."""
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
        if self.allocation != "uniform":  # the promise is of the total alone
            values = {"the model": np.concatenate([value.reshape(-1) for value in values.values()] or [np.zeros(0)])}
        slack = 0.0 if self.allocation == "uniform" else 1e-5  # one weight per kernel, for rounding
        for name, value in values.items():
            if not masks.holds(value, max(self.sparsity - slack, 0.0), masks.pattern(self.pattern)):
                raise BrokenPromise(
                    f"Prune promised {self.promise}; {name} has {np.mean(value == 0):.2%}. A later step moved or "
                    'replaced its zeros: use QuantizeAware(preserve="sparsity"); Train and Distill go before Prune.'
                )

    def check_artifact(self, artifact: Artifact) -> None:
        found = [value for name, value in artifact.weights().items() if self._counts(name, value)]
        zeros = sum(int(np.sum(value == 0)) for value in found)
        share = zeros / max(1, sum(value.size for value in found))
        if found and share < self.sparsity - 0.01:
            raise BrokenPromise(f"Prune promised {self.promise}, but {artifact.path} has {share:.1%}.")


class _UpdateMasks(keras.callbacks.Callback):
    """tfmot.UpdatePruningStep's place: recompute the masks on the steps that tfmot's schedule names."""

    def __init__(self, step: Prune, ramp, wrapped: keras.Model):
        super().__init__()
        self.wrapped = wrapped  # `self.model` may be a distiller around it
        self.ramp, self.pattern = ramp, masks.pattern(step.pattern)
        self.target = float(np.float32(step.sparsity)) or 1.0  # as the schedule says it, so that its end is exactly 1
        self.final = step.final_sparsities(wrapped)

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
        logging.info("sparsity %.3f", 1 - kept / max(1, sum(int(tf.size(mask)) for mask in masks_now)))

    def update(self, sparsity: float):
        """Every kernel goes the same fraction of the way to its own final sparsity."""
        way = min(sparsity / self.target, 1.0)
        for layer in _wrappers(self.wrapped):
            for weight, mask, _ in layer.pruning_vars:
                mask.assign(masks.magnitude(weight.numpy(), self.final[layer.name] * way, self.pattern))


def _apply_masks(model: keras.Model) -> None:
    for layer in _wrappers(model):
        layer.pruning_obj.weight_mask_op()


def _wrappers(model: keras.Model) -> list:
    return [layer for layer in model.layers if hasattr(layer, "pruning_vars")]
