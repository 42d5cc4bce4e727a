"""Shares compression out among layers by how much the score drops when each alone is compressed.

The drops are read from a study's file. Li et al. 2017, "Pruning filters for efficient ConvNets", section 3.2, prune
insensitive layers more by eye. Here every layer goes as far as one common drop lets it, and that drop is found from how
much is to go in all.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfmo_drive.base import given_file
from tfmo_drive.contracts import BadInput

SCHEMA = 1
COMMAND = "tfmo-drive sensitivity --experiment=NAME"
_AGAIN = f"Make it again with {COMMAND}."


@dataclasses.dataclass(frozen=True)
class Curve:
    """Describes one part of the network: a layer by its name, or the layers whose channels are one group."""

    size: int
    """The amount that could be removed, in the method's unit: weights, channels or multiply-accumulates."""
    drops: tuple[float, ...]
    """The drop of the score at each strength of the study."""


@dataclasses.dataclass(frozen=True)
class Curves:
    """Holds a study of one method on a float baseline."""

    strengths: tuple[float, ...]
    """Fractions in (0, 1) that rise."""
    parts: Mapping[str, Curve]
    score: float
    """The score of the model as it is: the most that can be lost."""
    examples: int
    """The number of examples that scored it: one of them is the least drop that can be seen."""

    def shares(self, sizes: Mapping[str, int], total: float) -> dict[str, float]:
        """Returns, by part, a fraction in [0, 1], at one common drop of the score.

        Those of all `sizes` together are `total`. Raises BadInput for a part that the study did not see, or saw of
        another size.

        Args:
            sizes: The size of each part, in the study's unit.
            total: The fraction of all of them together, in [0, 1].
        """
        for part, size in sizes.items():
            if part not in self.parts or self.parts[part].size != size:
                raise BadInput(
                    f"The study that allocation names knows no {part!r} of size {size}. It is of a float baseline: "
                    f"make it for this one ({COMMAND}), and put this step before those that change layers."
                )
        curves = [self._rising(self.parts[part].drops) for part in sizes]
        # Between neighbouring bends of all the curves their sum is a straight line, so that its inverse is exact.
        bends = np.unique(np.concatenate([[0.0], *(drops for _, drops in curves)]))
        gone = [
            size * np.interp(bends, drops, strengths)
            for size, (strengths, drops) in zip(sizes.values(), curves, strict=True)
        ]
        common = np.interp(total * sum(sizes.values()), sum(gone), bends) if gone else 0.0
        shares = [float(np.interp(common, drops, strengths)) for strengths, drops in curves]
        return dict(zip(sizes, shares, strict=True))

    def _rising(self, drops: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Returns strengths from 0 to 1, and drops that rise strictly.

        What looks like no loss, or a gain, may be a loss of less than one example; a part that is gone is taken to cost
        all there is.
        """
        strengths = np.array([0.0, *self.strengths, 1.0])
        rising = np.maximum.accumulate([0.0, *drops, self.score])
        return strengths, rising + strengths / self.examples


def names_file(allocation: str) -> bool:
    """Says whether a step's `allocation` is a study's file rather than a rule."""
    return allocation.endswith(".json")


def files(allocation: str) -> tuple[Path, ...]:
    """Returns the study's file that an allocation names, or nothing, for `Step.files`."""
    return (Path(allocation),) if names_file(allocation) else ()


def refuse(setting: str, allocation: str, rules: Sequence[str]) -> None:
    """Raises BadInput where an allocation is neither one of the rules nor a file."""
    if allocation not in rules and not names_file(allocation):
        raise BadInput(
            f"{setting} must be one of {', '.join(rules)}, or a file that {COMMAND} wrote, got {allocation!r}."
        )


def curves(allocation: str, method: str) -> Curves:
    """Returns a study of `method` from its file; raises BadInput where the file holds another method's."""
    found = read(Path(allocation))
    if found["method"] != method:
        raise BadInput(f"{allocation} is a study of {found['method']}, not of {method}. Name {method}.json beside it.")
    parts = {name: Curve(one["size"], tuple(one["drops"])) for name, one in found["parts"].items()}
    return Curves(tuple(found["strengths"]), parts, found["score"], found["examples"])


def read(path: Path) -> dict[str, Any]:
    """Returns the content of a study's file; raises BadInput where it is missing or no study."""
    if not path.exists():
        raise BadInput(f"No {path}. Make it with {COMMAND}.")
    found = given_file.json_of(path, "a study of sensitivity", _AGAIN)
    wanted = {"schema", "method", "strengths", "parts", "score", "examples"}
    if not isinstance(found, dict) or wanted - found.keys() or found["schema"] != SCHEMA:
        raise BadInput(f"{path} is no study of schema {SCHEMA}. {_AGAIN}")
    with given_file.reading(path, "a study of sensitivity", _AGAIN):
        strengths, parts = found["strengths"], found["parts"].values()
        drops = [one["drops"] for one in parts]
        sound = (
            isinstance(found["method"], str)
            and all(map(given_file.is_number, [found["score"], *strengths, *(value for row in drops for value in row)]))
            and (found["method"] == "bits" or all(low < high for low, high in itertools.pairwise([0, *strengths, 1])))
            and all(len(row) == len(strengths) for row in drops)
            and all(
                type(count) is int and 0 < count < 10**15
                for count in [found["examples"], *(one["size"] for one in parts)]
            )
        )
        if not sound:
            raise ValueError("its strengths, drops, sizes or score are no numbers that a study can have")
    return found
