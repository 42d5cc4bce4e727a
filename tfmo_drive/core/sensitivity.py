"""What the score loses when a single layer is compressed: read from a study's file, and shared out among the layers.

Li et al. 2017, "Pruning filters for efficient ConvNets", section 3.2, prune insensitive layers more by eye. Here every
layer goes as far as one common drop lets it, and that drop is found from how much is to go in all.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfmo_drive.contracts import BadInput

SCHEMA = 1
FILE = "sensitivity.json"


@dataclasses.dataclass(frozen=True)
class Curves:
    """The curves of one method: by part (a layer's name, or those of the layers whose channels are one group), the drop
    of the score at each of `strengths`, fractions in (0, 1) that rise."""

    strengths: tuple[float, ...]
    drops: Mapping[str, tuple[float, ...]]
    score: float
    """Of the model as it is: the most that can be lost."""
    examples: int
    """That scored it: one of them is the least drop that can be seen."""

    def shares(self, sizes: Mapping[str, int], total: float) -> dict[str, float]:
        """By part, a fraction in [0, 1]: those of all `sizes` together are `total` in [0, 1], at one common drop.

        Raises BadInput for a part that the study did not see.
        """
        for part in sizes:
            if part not in self.drops:
                raise BadInput(f"{FILE} knows no {part!r}. Make it again with make sensitivity, for this very model.")
        parts, weights = list(sizes), np.array(list(sizes.values()), float)
        curves = [self._rising(part) for part in parts]
        low, high = 0.0, max((drops[-1] for _, drops in curves), default=0.0)
        for _ in range(60):
            middle = (low + high) / 2
            found = [np.interp(middle, drops, strengths) for strengths, drops in curves]
            low, high = (middle, high) if weights @ found <= total * weights.sum() else (low, middle)
        shares = [float(np.interp(low, drops, strengths)) for strengths, drops in curves]
        return dict(zip(parts, shares, strict=True))

    def _rising(self, part: str) -> tuple[np.ndarray, np.ndarray]:
        """Strengths from 0 to 1, and drops that rise strictly: what looks like no loss, or a gain, is not known to be
        less than one example; and a part that is gone is taken to cost all there is."""
        strengths = np.array([0.0, *self.strengths, 1.0])
        drops = np.maximum.accumulate([0.0, *self.drops[part], self.score])
        return strengths, drops + strengths / self.examples


def is_file(allocation: str) -> bool:
    """Whether a step's `allocation` names a study's file rather than a rule."""
    return allocation.endswith(".json")


def files(allocation: str) -> tuple[Path, ...]:
    """For `Step.files`."""
    return (Path(allocation),) if is_file(allocation) else ()


def refuse(setting: str, allocation: str, rules: Sequence[str]) -> None:
    """BadInput where an allocation is neither one of the rules nor a file."""
    if allocation not in rules and not is_file(allocation):
        raise BadInput(f"{setting} must be one of {', '.join(rules)}, or a {FILE}, got {allocation!r}.")


def curves(allocation: str, method: str) -> Curves:
    """What the study of `method` found; BadInput where the file has none of it."""
    found = read(Path(allocation))
    one = found["methods"].get(method)
    if not one:
        raise BadInput(f"{allocation} has no curves of {method}. Add them: make sensitivity METHODS={method}.")
    drops = {part: tuple(values) for part, values in one["drops"].items()}
    return Curves(tuple(one["strengths"]), drops, found["score"], found["examples"])


def read(path: Path) -> dict[str, Any]:
    """A study's file; BadInput when it is absent, no JSON or of another schema."""
    try:
        found = json.loads(path.read_text())
    except FileNotFoundError:
        raise BadInput(f"No {path}. Make it with make sensitivity.") from None
    except (OSError, ValueError) as error:
        raise BadInput(f"{path} cannot be read: {error}. Make it again with make sensitivity.") from None
    if not isinstance(found, dict) or found.get("schema") != SCHEMA:
        raise BadInput(f"{path} must be a study of schema {SCHEMA}. Make it again with make sensitivity.")
    return found
