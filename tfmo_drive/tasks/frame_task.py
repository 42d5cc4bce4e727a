"""Holds what every task on whole frames of a drive shares: any shape of image, and the built-in scenes, also moving."""

from __future__ import annotations

import dataclasses

from tfmo_drive.scenes.frames import Frames
from tfmo_drive.tasks.image_task import SCENES, ImageTask


@dataclasses.dataclass(frozen=True, kw_only=True)
class FrameTask(ImageTask):
    """Defines a task on whole frames.

    Args:
        scenes: How many of the built-in frames there are.
    """

    scenes: Frames = Frames()

    default_size = (96, 128)

    @property
    def clip_size(self) -> tuple[int, int] | None:
        """Returns (height, width) of the moving built-in scenes that it can be shown; None where its data are real."""
        return self.size if self.data == SCENES else None
