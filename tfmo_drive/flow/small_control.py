"""Says for how long the control from nothing trains: about as long as the recipe that it is compared with.

The number of epochs follows from multiply-accumulates, not from a clock, so that the same seed gives the same control
on any machine.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from tfmo_drive.base.keras2 import keras
from tfmo_drive.contracts import Step, Task
from tfmo_drive.networks import macs
from tfmo_drive.networks.fake_quant import is_quantize_aware

MOST = 60
"""The number of epochs from which on more bring a small network nothing."""
_BESIDES = 5e6
"""What an image costs beside its multiply-accumulates (augmentation, operators' starts), in multiply-accumulates."""


def in_time(
    control: tuple[Step, ...], recipe: Sequence[Step], models: Sequence[keras.Model], task: Task
) -> tuple[Step, ...]:
    """Returns the control with as many epochs, 1 to MOST, as cost no more than the recipe's.

    Args:
        control: The one step that trains the small network.
        recipe: The recipe's steps.
        models: The baseline, then what each of them left.
        task: The task, which builds the small network.
    """
    (step,) = control
    spent, plain = 0.0, models[0]
    for one, left in zip(recipe, models[1:], strict=True):
        plain = plain if is_quantize_aware(left) else left  # whose layers lie in wrappers
        spent += getattr(one, "all_epochs", 0) * _cost(plain)
    epochs = min(MOST, max(1, int(spent / _cost(step.successor(task)))))
    return (dataclasses.replace(step, epochs=epochs),)


def _cost(model: keras.Model) -> float:
    return macs.of_model(model) + _BESIDES
