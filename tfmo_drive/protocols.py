"""What only some tasks can do: small protocols, for which whoever needs one asks by name (`Task.offers`).

A task that has the methods offers the protocol; it inherits from none of these. This file imports nothing from the
package, and every file may import it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np


@runtime_checkable
class Distillable(Protocol):
    """A task whose models can learn from a teacher (training.distillation)."""

    def distillation_loss(self, outputs: Any, teacher: Any, temperature: float) -> Any:
        """TensorFlow graph code: what distillation lowers, of student's and teacher's logits; on `loss`'s scale."""


@runtime_checkable
class LocatesObjects(Protocol):
    """A task that knows where in an image there is something to learn."""

    def object_mask(self, targets: Any) -> Any:
        """TensorFlow graph code: where objects are, from encoded targets: float32 [b, h, w, 1] in [0, 1]."""


@runtime_checkable
class OverTime(Protocol):
    """A task that can be shown the moving built-in scenes."""

    clip_size: tuple[int, int] | None
    """(height, width) of their frames; None: the task's data is none of theirs."""

    def over_time(self, outputs: Any, scenes: Sequence[Any], clips: np.ndarray) -> dict[str, float]:
        """What changes between frames that should not: outputs [n, ...] of scenes.Scene frames, clips int [n]."""


@runtime_checkable
class Rendered(Protocol):
    """A task on images that can draw over one what is said of it."""

    def rendered(self, image: np.ndarray, outputs: Any) -> np.ndarray:
        """uint8 [any height, any width, 3]: an image (uint8 [h, w, 3]) with what a model's outputs for it say."""

    def rendered_truth(self, image: np.ndarray, targets: Any) -> np.ndarray:
        """The same of what is true."""
