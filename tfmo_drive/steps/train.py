"""Trains in float, nothing else.

It makes the baseline, and the control that gets the same extra epochs as a compressed model.
"""

from __future__ import annotations

import dataclasses

from tfmo_drive.training.trained_step import TrainedStep


@dataclasses.dataclass(frozen=True, kw_only=True)
class Train(TrainedStep):
    """Trains every weight with the task's loss; zero epochs change nothing.

    Example:
        >>> import tfmo_drive as td
        >>> td.Train(epochs=8, learning_rate=0.05).name
        'train'
    """
