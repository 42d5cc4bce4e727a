"""Renders test examples as pictures: the truth, the float artifact's answer and another one's.

Only what is shown is read and predicted, so neither memory nor time grows with the data.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from tfmo_drive.base import inputs, outputs
from tfmo_drive.contracts import Artifact, Examples, Preprocessing, Task
from tfmo_drive.data.images import in_channels
from tfmo_drive.protocols import OverTime, Rendered
from tfmo_drive.scenes.clips import CLIP_SEED, clip
from tfmo_drive.scores.pictures import shown


@dataclasses.dataclass(frozen=True)
class Gallery:
    """Renders a task's test examples with the answers of its artifacts."""

    task: Task
    artifacts: Mapping[str, Artifact]
    """The artifacts by the names of their rows, the float one first."""

    @property
    def _examples(self) -> Examples:
        return self.task.examples("test")

    def images(self, indices: Sequence[int]) -> np.ndarray:
        """Returns test examples: images as uint8 [n, h, w, 3], other inputs raw (rows: float32 [n, columns])."""
        raw = self._examples.read(np.asarray(indices, np.int64))[0]
        return inputs.seen(self.task.preprocessing.of_each(_shown, raw))

    def panels(self, row: str, indices: Sequence[int]) -> list[dict[str, np.ndarray]]:
        """Returns each of some test examples as the task renders it: {"truth", "float", "compressed"}, uint8 [h, w, 3].

        It returns nothing for a task that renders nothing, and no "compressed" where `row` is the float one.
        """
        if not len(indices) or not self.task.offers(Rendered):
            return []
        raw, targets = self._examples.read(np.asarray(indices, np.int64))
        truth = [
            self.task.rendered_truth(one, outputs.at(targets, i)) for i, one in enumerate(shown(inputs.seen(raw), None))
        ]
        said = {"truth": truth} | self._said(row, raw)
        return [{title: rendered[i] for title, rendered in said.items()} for i in range(len(truth))]

    @property
    def mask_classes(self) -> tuple[str, ...]:
        """Returns the classes whose colours lie over the panels; () where they show no masks."""
        return getattr(self.task, "mask_classes", ())

    def ordinary(self, count: int) -> list[int]:
        """Returns at most `count` test examples that nobody chose: the first of each slice, then evenly spaced ones."""
        examples = self._examples
        firsts = [np.unique(values, return_index=True)[1].tolist() for values in examples.attributes.values()]
        even = np.linspace(0, len(examples) - 1, count).astype(int).tolist()
        return list(dict.fromkeys([*sum(firsts, []), *even]))[:count]

    def clip(self, row: str, frames: int = 20) -> list[tuple[str, list[np.ndarray]]]:
        """Returns moving built-in scenes with the answers of the float artifact and of `row`'s.

        Returns:
            (title, frames uint8 [h, w, 3]) of each; nothing for a task that is not on such scenes.
        """
        offered = self.task.offers(OverTime) and self.task.offers(Rendered)
        if not offered or (size := self.task.clip_size) is None:
            return []
        channels = len(self.task.preprocessing.each[0].scale)
        pixels = np.stack([in_channels(one.image, channels) for one in clip(CLIP_SEED, 0, frames, size)])
        return list(self._said(row, pixels).items())

    def _said(self, row: str, raw: outputs.Arrays) -> dict[str, list[np.ndarray]]:
        """Returns the images of raw inputs with their answers rendered, by "float".

        Where `row` is another one, they are there by "compressed" too.
        """
        first = next(iter(self.artifacts))
        chosen = {"float": first} | ({"compressed": row} if row != first else {})
        said = {title: outputs.answered(self.artifacts[name], raw) for title, name in chosen.items()}
        return {title: self._rendered(shown(inputs.seen(raw), None), answers) for title, answers in said.items()}

    def _rendered(self, pixels: np.ndarray, said: outputs.Arrays) -> list[np.ndarray]:
        return [self.task.rendered(image, outputs.at(said, i)) for i, image in enumerate(pixels)]


def _shown(rule: Preprocessing, raw: np.ndarray) -> np.ndarray:
    """Returns raw images as pictures, other inputs as they are."""
    return shown(raw, rule.input_range) if raw.ndim == 4 else raw
