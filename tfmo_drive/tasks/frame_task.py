"""What every task on whole frames of a drive has: an image of any shape, and the built-in scenes, still and moving."""

from __future__ import annotations

import dataclasses

from tfmo_drive.scenes.frames import Frames
from tfmo_drive.tasks.image_task import SCENES, ImageTask


@dataclasses.dataclass(frozen=True, kw_only=True)
class FrameTask(ImageTask):
    """`image_size`: (height, width) in pixels. `scenes`: how many of the built-in frames."""

    image_size: tuple[int, int] = (96, 128)
    scenes: Frames = Frames()

    @property
    def size(self) -> tuple[int, int]:
        return self.image_size

    @property
    def clip_size(self) -> tuple[int, int] | None:
        return self.size if self.data == SCENES else None
