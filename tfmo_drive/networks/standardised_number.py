"""Scales a number that a model answers by the mean and the deviation of train's numbers.

So a network starts near the truth and no loss has a unit. A given model may answer the number itself; it is converted
once.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from tfmo_drive.base.keras2 import keras
from tfmo_drive.contracts import BadInput, Trivial
from tfmo_drive.networks import number_scale

RAW, STANDARDISED = "raw", "standardised"
"""The readings of a given model's numbers: the target's own, or as tasks train here, (number - mean) / deviation."""


def refuse_unknown(setting: str, said: str) -> None:
    """Raises BadInput where a setting names no reading of a given model's numbers; "" states none."""
    if said not in ("", RAW, STANDARDISED):
        raise BadInput(f'{setting} of a number must be "", {RAW} or {STANDARDISED}, got {said!r}.')


def undeclared(setting: str, said: str) -> Iterator[str]:
    """Yields what a user must still say of the numbers of a whole model, with the setting; nothing where it is said."""
    if not said:
        yield (
            f"what it answers, with --set={setting}={RAW} (the target's own unit) or {STANDARDISED} (the target less "
            "its mean, in standard deviations of this train split)"
        )


@dataclasses.dataclass(frozen=True)
class StandardisedNumber:
    """Converts between numbers and a model's outputs [n, 1], which are (number - mean) / deviation.

    Args:
        mean: The mean of train's numbers, in their unit.
        deviation: Their standard deviation, above 0.
        given: The numbers of a user's own model, RAW or STANDARDISED; "" for one that is trained here.
        setting: The setting that states it, "task.outputs".
    """

    mean: float
    deviation: float
    given: str = ""
    setting: str = "task.outputs"

    def number(self, outputs: np.ndarray) -> np.ndarray:
        """Returns numbers in their unit from outputs of any shape."""
        return outputs * self.deviation + self.mean

    def output(self, numbers: np.ndarray) -> np.ndarray:
        """Returns the outputs that stand for these numbers."""
        return (numbers - self.mean) / self.deviation

    def loss(self) -> keras.losses.Loss:
        """Returns Huber's loss (1964), which outliers do not rule, in standard deviations of the train split."""
        return _StandardisedHuber(self.mean, self.deviation)

    def trivial(self, train: np.ndarray, count: int, unit: str = "") -> Trivial:
        """Returns the answer that has the least absolute error without a look at the inputs: the median of `train`."""
        median = float(np.median(train))
        return Trivial(f"always {median:.4g} {unit}".strip(), np.full((count, 1), self.output(median)))

    def decode(self, unit: str, positive: str = "") -> dict[str, Any]:
        """Returns how the output is read, as an artifact's metadata has it, in JSON types."""
        return number_scale.decode(unit, self.deviation, self.mean, positive)

    def converted(self, model: keras.Model, output: str) -> keras.Model:
        """Returns a given `model` whose output of that name is standardised."""
        if self.given != RAW:
            return model
        return number_scale.rescaled(model, output, 1 / float(self.deviation), float(self.output(0.0)))

    def refuse_other_reading(self, outputs: np.ndarray, targets: np.ndarray, subject: str, advice: str) -> None:
        """Raises BadInput where a given model's answers on real data cannot mean what `given` states.

        Args:
            outputs: The answers of the model, once converted, [n, 1].
            targets: The true numbers, [n, 1].
            subject: The beginning of the message ("task.baseline: mine.h5").
            advice: What to check where no other reading is right either.
        """
        readings = {STANDARDISED: self.number(outputs), RAW: outputs}
        if self.given == RAW:  # converted already
            readings = {RAW: self.number(outputs), STANDARDISED: self.number(self.number(outputs))}
        (taken, answers), (other, otherwise) = readings.items()
        found = number_scale.fit(answers, targets)
        if not found.odd:
            return
        better = not number_scale.fit(otherwise, targets).odd
        raise BadInput(
            f"{subject} answers {number_scale.ranged(answers)} on val, taken for {taken}, where the target is "
            f"{number_scale.ranged(targets)}: {abs(found.ratio):.3g} times its deviation (correlation "
            f"{found.correlation:.2f}). " + (f"Add --set={self.setting}={other}." if better else advice)
        )


class _StandardisedHuber(keras.losses.Huber):
    def __init__(self, mean: float, deviation: float) -> None:
        super().__init__()
        self.mean, self.deviation = mean, deviation

    def call(self, y_true, y_pred):
        return super().call((y_true - self.mean) / self.deviation, y_pred)
