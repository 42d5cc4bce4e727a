"""Measures consistency over time on moving built-in scenes: flickering boxes and pixels, jittery steering."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np
from tqdm import tqdm

from tfmo_drive.base import outputs
from tfmo_drive.contracts import Artifact, BadInput, Context, Measure
from tfmo_drive.data.images import in_channels
from tfmo_drive.protocols import OverTime
from tfmo_drive.scenes.clips import CLIP_SEED, clip
from tfmo_drive.scenes.scenes import Scene


@dataclasses.dataclass(frozen=True)
class Temporal(Measure):
    """Measures clips with exact truth, frames a tenth of a second apart; nothing for tasks not on such scenes.

    Args:
        clips: The number of clips, at least 1.
        frames: The number of frames of each, at least 2.

    Example:
        >>> import tfmo_drive as td
        >>> td.Temporal()
        Temporal(clips=6, frames=15)
    """

    has_section = True

    clips: int = 6
    frames: int = 15

    def __post_init__(self) -> None:
        if self.clips < 1:
            raise BadInput(f"Temporal.clips must be at least 1, got {self.clips}.")
        if self.frames < 2:
            raise BadInput(f"Temporal.frames must be at least 2, got {self.frames}.")

    def __call__(self, artifact: Artifact, reference: Artifact, context: Context) -> dict[str, Any]:
        """Returns temporal {"clips", "frames", and the task's numbers}."""
        if not context.task.offers(OverTime) or (size := context.task.clip_size) is None:
            return {}
        scenes = generated(CLIP_SEED + context.seed, self.clips, self.frames, size)
        pixels = np.stack([in_channels(scene.image, len(context.task.preprocessing.each[0].scale)) for scene in scenes])
        parts = np.split(pixels, self.clips)
        progress = tqdm(parts, f"{artifact.name}, clips", disable=None, leave=False)
        said = outputs.joined([outputs.answered(artifact, images) for images in progress])
        found = context.task.over_time(said, scenes, np.repeat(np.arange(self.clips), self.frames))
        return {"temporal": {"clips": self.clips, "frames": self.frames, **found}}


@functools.lru_cache(maxsize=1)
def generated(seed: int, clips: int, frames: int, size: tuple[int, int]) -> tuple[Scene, ...]:
    """Returns all frames, clip by clip; they are the same ones for every row, so they are generated once."""
    return tuple(scene for number in range(clips) for scene in clip(seed, number, frames, size))
