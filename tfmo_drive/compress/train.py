"""Plain float training: of the baseline, and of the control that gets the same extra epochs as a compressed model."""

from __future__ import annotations

import dataclasses

from tfmo_drive.contracts import Context
from tfmo_drive.core.keras2 import keras
from tfmo_drive.core.training import TrainedStep, copy, train


@dataclasses.dataclass(frozen=True, kw_only=True)
class Train(TrainedStep):
    """Train every weight with the task's loss; zero epochs change nothing."""

    def __call__(self, model: keras.Model, context: Context) -> keras.Model:
        trained = copy(model)
        train(trained, self, context)
        return trained
