"""Defines what only some tasks have: small protocols, for which code that needs one asks by name (`Task.offers`).

A task that has the methods offers the protocol; it inherits from none of these. This file imports nothing from the
package, and every file may import it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np


@runtime_checkable
class Distillable(Protocol):
    """Describes a task whose models can learn from a teacher (training.distillation)."""

    def distillation_loss(self, outputs: Any, teacher: Any, temperature: float) -> Any:
        """Returns what distillation minimises, on the scale of `loss`, from logits of student and teacher.

        It is TensorFlow graph code.
        """


@runtime_checkable
class LocatesObjects(Protocol):
    """Describes a task that knows where in an image there is something to learn."""

    def object_mask(self, targets: Any) -> Any:
        """Returns where objects are, from encoded targets: float32 [b, h, w, 1] in [0, 1] (TensorFlow graph code)."""


@runtime_checkable
class OverTime(Protocol):
    """Describes a task that can be shown the moving built-in scenes."""

    clip_size: tuple[int, int] | None
    """(height, width) of their frames in pixels; None where the task's data are not the built-in scenes."""

    def over_time(self, outputs: Any, scenes: Sequence[Any], clips: np.ndarray) -> dict[str, float]:
        """Returns numbers of what changes between frames and should not.

        Args:
            outputs: [n, ...], for the frames.
            scenes: The frames, n of scenes.Scene.
            clips: int [n], the clip of each frame.
        """


@runtime_checkable
class Rendered(Protocol):
    """Describes a task on images that can render its answers over one."""

    def rendered(self, image: np.ndarray, outputs: Any) -> np.ndarray:
        """Returns an image (uint8 [h, w, 3]) with outputs for it drawn over it: uint8 [any height, any width, 3]."""

    def rendered_truth(self, image: np.ndarray, targets: Any) -> np.ndarray:
        """Returns an image (uint8 [h, w, 3]) with its targets drawn over it: uint8 [any height, any width, 3]."""
