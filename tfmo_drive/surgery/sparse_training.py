"""Holds what every step needs that zeroes weights while it trains.

That is a ramp, tfmot's masks, their updates, and checks of the zeros. tfmot's wrappers hold and apply the masks and
tfmot's schedule says when and how sparse (Zhu & Gupta 2017, "To prune, or not to prune"); the masks themselves are the
step's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np
import tensorflow_model_optimization as tfmot

from tfmo_drive.base.keras2 import keras, tf
from tfmo_drive.contracts import Artifact, BadInput, BrokenPromise, Step
from tfmo_drive.networks import layers
from tfmo_drive.surgery import masks

SCHEDULES = ("polynomial", "constant")
_UPDATES = 20
"""The least number of updates on the way up, where there are steps enough."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ramp:
    """Sets what fraction of the weights is zero when in a training; begins and ends are in epochs.

    A step whose settings have these names takes `Ramp.of` them.

    Args:
        sparsity: The fraction at the end, in [0, 1).
        epochs: The length of the training.
        initial_sparsity: The fraction at the ramp's begin, in [0, sparsity].
        schedule: One of SCHEDULES.
        begin_epoch: The ramp's begin.
        end_epoch: The ramp's end; by default half of what is left, so that the rest recovers at full sparsity and a
            high learning rate.
        frequency: The steps between updates; by default derived.
    """

    sparsity: float
    epochs: int
    initial_sparsity: float = 0.0
    schedule: str = "polynomial"
    begin_epoch: float = 0.0
    end_epoch: float | None = None
    frequency: int | None = None

    @classmethod
    def of(cls, step: Step) -> Ramp:
        """Returns the ramp that a step's settings say."""
        return cls(**{field.name: getattr(step, field.name) for field in dataclasses.fields(cls)})

    @property
    def end(self) -> float:
        """Returns the epoch at which the ramp ends."""
        return self.end_epoch if self.end_epoch is not None else (self.begin_epoch + max(self.epochs, 1)) / 2

    def refuse(self, step: str) -> None:
        """Raises BadInput, by the name of the step whose settings these are, where one is out of its range."""
        if not 0 <= self.sparsity < 1:
            raise BadInput(f"{step}.sparsity must be in [0, 1), got {self.sparsity}.")
        if not 0 <= self.initial_sparsity <= self.sparsity:
            raise BadInput(f"{step}.initial_sparsity must be in [0, sparsity], got {self.initial_sparsity}.")
        if self.schedule not in SCHEDULES:
            raise BadInput(f"{step}.schedule must be one of {', '.join(SCHEDULES)}, got {self.schedule!r}.")
        if not 0 <= self.begin_epoch < self.end <= max(self.epochs, 1):
            raise BadInput(
                f"{step} needs 0 <= begin_epoch < end_epoch <= epochs, got {self.begin_epoch}, {self.end}, "
                f"{self.epochs}."
            )
        if self.frequency is not None and self.frequency < 1:
            raise BadInput(f"{step}.frequency must be at least 1 step (or None: derived), got {self.frequency}.")

    def in_steps(self, steps_per_epoch: int) -> tfmot.sparsity.keras.PruningSchedule:
        """Returns tfmot's schedule in steps.

        The first update falls on the begin, the last one on the last step before the end, so that an epoch that ends
        there counts as one of full sparsity.
        """
        last = max(self.epochs * steps_per_epoch - 1, 0)
        begin = min(int(round(self.begin_epoch * steps_per_epoch)), last)
        end = min(max(int(round(self.end * steps_per_epoch)) - 1, begin), last)
        frequency = self.frequency or max(1, (end - begin) // _UPDATES)
        if self.schedule == "polynomial":
            begin = end - (end - begin) // frequency * frequency
        if self.schedule == "constant" or begin == end:
            return tfmot.sparsity.keras.ConstantSparsity(self.sparsity, begin, end_step=-1, frequency=frequency)
        return tfmot.sparsity.keras.PolynomialDecay(
            self.initial_sparsity, self.sparsity, begin, end, power=3, frequency=frequency
        )

    def settled_epoch(self, steps_per_epoch: int) -> int:
        """Returns the first epoch (from 0) that ends at full sparsity."""
        schedule = self.in_steps(steps_per_epoch)
        return min(max(schedule.begin_step, schedule.end_step) // steps_per_epoch, max(self.epochs - 1, 0))


def masked(model: keras.Model, names: set[str]) -> keras.Model:
    """Returns a copy in which the layers of these `names` carry tfmot's masks, all ones.

    tfmot's own function shares its weights with the argument.
    """
    never = tfmot.sparsity.keras.ConstantSparsity(0.5, begin_step=2**31 - 2, end_step=2**31 - 1)

    def clone(layer):
        if layer.name not in names:
            return layer.__class__.from_config(layer.get_config())
        return tfmot.sparsity.keras.prune_low_magnitude(layer.__class__.from_config(layer.get_config()), never)

    wrapped = keras.models.clone_model(model, clone_function=clone)
    for source, target in zip(model.layers, wrapped.layers, strict=True):
        target.set_weights(source.get_weights())
    return wrapped


def weights(wrapped: keras.Model) -> dict[str, tf.Variable]:
    """Returns by layer the kernels of a `masked` model."""
    return {layer.layer.name: layer.pruning_vars[0][0] for layer in _wrappers(wrapped)}


def stripped(wrapped: keras.Model) -> keras.Model:
    """Returns the model without tfmot's wrappers.

    Masked weights are zeroed, since the optimizer's last step moved them.
    """
    _apply_masks(wrapped)
    return tfmot.sparsity.keras.strip_pruning(wrapped)


class UpdateMasks(keras.callbacks.Callback):
    """Stands in for tfmot's UpdatePruningStep: asks for new masks on the steps that the ramp's schedule names.

    Args:
        ramp: The ramp.
        steps_per_epoch: The number of steps in an epoch.
        wrapped: A `masked` model, inside of what is trained.
        masks_at: From how much of the way is done, in [0, 1], to masks of 0 and 1 by layer.
    """

    def __init__(
        self,
        ramp: Ramp,
        steps_per_epoch: int,
        wrapped: keras.Model,
        masks_at: Callable[[float], Mapping[str, np.ndarray]],
    ):
        super().__init__()
        self.wrapped = wrapped  # `self.model` may be a distiller around it
        self.schedule, self.masks_at = ramp.in_steps(steps_per_epoch), masks_at
        self.goal = float(np.float32(ramp.sparsity)) or 1.0  # rounded as the schedule is, so that its end is exactly 1

    def on_train_batch_begin(self, batch, logs=None):
        """Updates the masks where the schedule names this step."""
        due, sparsity = self.schedule(tf.constant(int(self.model.optimizer.iterations), tf.int64))
        if bool(due):
            self.update(float(sparsity))

    def on_epoch_begin(self, epoch, logs=None):
        """Tells tfmot's wrappers the step, which they need to be 1 or more."""
        step = int(self.model.optimizer.iterations)
        for layer in _wrappers(self.wrapped):
            layer.pruning_step.assign(max(step, 1))

    def on_epoch_end(self, epoch, logs=None):
        """Zeroes what is masked, and logs the sparsity of the epoch."""
        _apply_masks(self.wrapped)
        masks_now = [mask for layer in _wrappers(self.wrapped) for _, mask, _ in layer.pruning_vars]
        kept = sum(float(tf.reduce_sum(mask)) for mask in masks_now)
        logs["sparsity"] = 1 - kept / max(1, sum(int(tf.size(mask)) for mask in masks_now))

    def finish(self):
        """Sets the final masks at once, for one shot without training."""
        self.update(self.goal)

    def update(self, sparsity: float):
        """Sets the masks of a sparsity that the schedule says; every kernel goes the same fraction of its own way."""
        found = self.masks_at(min(sparsity / self.goal, 1.0))
        for layer in _wrappers(self.wrapped):
            layer.pruning_vars[0][1].assign(found[layer.layer.name])


def check_zeros(promised: str, kernels: Mapping[str, np.ndarray], least: float, pattern: masks.Pattern = None) -> None:
    """Raises BrokenPromise where a kernel has fewer zeros than `least`, or not in the pattern.

    `promised` begins the message.
    """
    for name, value in kernels.items():
        if not masks.holds(value, least, pattern):
            raise BrokenPromise(f"{promised}; {name} has {np.mean(value == 0):.2%}.")


def check_zeros_in_total(promised: str, kernels: Mapping[str, np.ndarray], least: float) -> None:
    """Raises BrokenPromise where less than `least` of all kernels together is zero, each kernel's rounding allowed."""
    whole = np.concatenate([value.reshape(-1) for value in kernels.values()]) if kernels else np.zeros(1)
    check_zeros(promised, {"the model": whole}, max(least - len(kernels) / whole.size, 0.0))


def check_file(
    promised: str, artifact: Artifact, least: float, counts: Callable[[str, np.ndarray], bool], block: int = 1
) -> None:
    """Raises BrokenPromise where less than `least` of a file's kernels is zero.

    A hundredth is allowed for what a target leaves to chance; in small kernels, the block that rounding keeps in each.

    Args:
        promised: What the message begins with.
        artifact: The file.
        least: The fraction of zeros.
        counts: Says of a stored kernel, by name and value, whether it can have been zeroed.
        block: The number of weights that are zeroed together.
    """
    found = [one for name, one in artifact.weights().items() if layers.is_kernel(name, one) and counts(name, one)]
    size = max(1, sum(value.size for value in found))
    share = sum(int(np.sum(value == 0)) for value in found) / size
    if found and share < least - max(0.01, block * len(found) / size):
        raise BrokenPromise(f"{promised}, but {artifact.path} has {share:.1%}.")


def _apply_masks(model: keras.Model) -> None:
    for layer in _wrappers(model):
        layer.pruning_obj.weight_mask_op()


def _wrappers(model: keras.Model) -> list:
    return [layer for layer in model.layers if hasattr(layer, "pruning_vars")]
