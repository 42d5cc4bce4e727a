"""Consistency over time, on moving built-in scenes whose truth is exact: flicker of boxes and pixels, jitter of
steering."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from tqdm import tqdm

from tfmo_drive.contracts import Artifact, BadInput, Context, Measure
from tfmo_drive.core import outputs
from tfmo_drive.core.scene_clips import CLIP_SEED, clip


@dataclasses.dataclass(frozen=True)
class Temporal(Measure):
    """`clips` of `frames` each, a tenth of a second apart; nothing is measured for tasks that are not on such
    scenes."""

    clips: int = 6
    frames: int = 15

    def __post_init__(self) -> None:
        if self.clips < 1:
            raise BadInput(f"Temporal.clips must be at least 1, got {self.clips}.")
        if self.frames < 2:
            raise BadInput(f"Temporal.frames must be at least 2, got {self.frames}.")

    def __call__(self, artifact: Artifact, reference: Artifact, context: Context) -> dict[str, Any]:
        """temporal {"clips", "frames", and the task's numbers}."""
        size = context.task.clip_size
        if size is None:
            return {}
        scenes, parts = [], []
        for number in tqdm(range(self.clips), f"{artifact.name}, clips", disable=None, leave=False):
            shown = list(clip(CLIP_SEED + context.seed, number, self.frames, size))
            parts.append(artifact.predict(np.stack([scene.image for scene in shown])))
            scenes += shown
        numbers = np.repeat(np.arange(self.clips), self.frames)
        found = context.task.over_time(outputs.joined(parts), scenes, numbers)
        return {"temporal": {"clips": self.clips, "frames": self.frames, **found}}
