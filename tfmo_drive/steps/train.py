"""Plain float training: of the baseline, and of the control that gets the same extra epochs as a compressed model."""

from __future__ import annotations

import dataclasses

from tfmo_drive.training.trained_step import TrainedStep


@dataclasses.dataclass(frozen=True, kw_only=True)
class Train(TrainedStep):
    """Train every weight with the task's loss; zero epochs change nothing."""
