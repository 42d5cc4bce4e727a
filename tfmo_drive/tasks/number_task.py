"""Holds what all tasks share whose model answers one number in a unit: data, head, loss, score, rendering.

A new one names the number and its unit, and gives its truth in a built-in scene; `tasks.distance` is the example.
"""

from __future__ import annotations

import abc
import dataclasses
import functools
import inspect
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from tfmo_drive.base import faults
from tfmo_drive.base.keras2 import keras
from tfmo_drive.base.outputs import names
from tfmo_drive.base.run_folder import file_digest
from tfmo_drive.contracts import BadInput, Evaluation, Examples, Trivial
from tfmo_drive.data.augmentation import Augmentation
from tfmo_drive.data.image_cache import pack
from tfmo_drive.data.layouts.csv_listing import list_numbers
from tfmo_drive.data.splitting import Listing
from tfmo_drive.networks import standardised_number
from tfmo_drive.networks.networks import Network
from tfmo_drive.networks.standardised_number import StandardisedNumber
from tfmo_drive.scenes.scenes import Scene
from tfmo_drive.scores import evaluation, pictures
from tfmo_drive.tasks.frame_task import FrameTask
from tfmo_drive.tasks.image_task import SCENES
from tfmo_drive.training import distillation


@dataclasses.dataclass(frozen=True, kw_only=True)
class NumberColumns:
    """Names a CSV's columns; empty names are found by the usual ones, the number's by the task's output."""

    file: str = ""
    number: str = ""
    split: str = ""
    group: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class NumberTask(FrameTask):
    """Predicts one number; a concrete task has `name`, `output_names` (one), `unit` and `number`.

    Real `data` is a CSV file with a column for the images' files and one for the number. The score is 1 - |error| in
    standard deviations of train, at least 0 (scores.evaluation); beside it stands the mean error in the unit. By
    default images are mirrored and change their light, and do not move: a number of metres would be another.

    Args:
        outputs: "raw" or "standardised": the answers of a model of your own.
        columns: The CSV's columns that cannot be guessed.
    """

    outputs: str = ""
    augmentation: Augmentation = Augmentation(flip=True, shift=0.0, zoom=0.0, shear_degrees=0.0)
    columns: NumberColumns = NumberColumns()

    unit: ClassVar[str]
    """The unit as reports, `predict` and packs print it: "m"."""
    positive: ClassVar[str] = ""
    """The meaning of a number above 0 where its sign is a direction: "to the right"."""
    class_names = ()
    given_settings = ("outputs",)

    def __post_init__(self):
        super().__post_init__()
        kind, base = type(self), {field.name for field in dataclasses.fields(NumberTask)}
        if missing := [fact for fact in ("name", "output_names", "unit") if not getattr(kind, fact, "")]:
            raise BadInput(f"{kind.__name__} does not say its {' and '.join(missing)}.")
        own = [field.name for field in dataclasses.fields(self) if field.compare and field.name not in base]
        if unsaid := sorted({*own} - {*self.own_settings, *self.given_settings}):
            raise BadInput(f"{kind.__name__}.own_settings must name {', '.join(unsaid)}: a model depends on it.")
        standardised_number.refuse_unknown(f"{kind.__name__}.outputs", self.outputs)

    @abc.abstractmethod
    def number(self, scene: Scene) -> float:
        """Returns the true number of a built-in scene, in the unit."""

    @faults.noting
    def listing(self) -> Listing:
        columns = {key: value for key, value in dataclasses.asdict(self.columns).items() if value}
        return list_numbers(self.data, self.output_names[0], columns, self.split_seed, self.skip_bad)

    def packed(self, split: str) -> Examples:
        """Returns a split's pixels uint8 [b, h, w, channels] and numbers float32 [b, 1] in the unit."""
        if self.data == SCENES:
            own = [getattr(self, name) for name in self.own_settings]
            key = [self.name, file_digest(Path(inspect.getfile(type(self)))), own]
            return self.scenes.measured(split, self.shape, self._finite_number, key)
        return pack(self.listing[split], self.shape, self.resize, skip_bad=self.skip_bad, label=split)

    def _finite_number(self, scene: Scene) -> float:
        found = self.number(scene)
        if found is None or not np.isfinite(found):
            raise BadInput(f"{type(self).__name__}.number must be finite for every scene, got {found}.")
        return found

    @functools.cached_property
    def _train_numbers(self) -> np.ndarray:
        return np.asarray(self.examples("train").labels, np.float64).reshape(-1)

    @functools.cached_property
    def _scale(self) -> StandardisedNumber:
        mean, deviation = self._train_numbers.mean(), self._train_numbers.std()
        if not deviation:
            raise BadInput(f"{self.data}: the {self.name} is {mean:g} {self.unit} in every train image. Add others.")
        return StandardisedNumber(mean, deviation, self.outputs, f"{self.place}.outputs")

    def heads(self, network: Network, backbone: keras.Model) -> list:
        return [network.head(backbone.output, 1, self.output_names[0])]

    def ends(self) -> dict[str, tuple[int, ...]]:
        return {self.output_names[0]: (1,)}

    def undeclared(self) -> Iterator[str]:
        yield from super().undeclared()
        yield from standardised_number.undeclared(f"{self.place}.outputs", self.outputs)

    def converted(self, model: keras.Model, subject: str) -> keras.Model:
        output = names(model)[0] if len(model.outputs) == 1 else self.output_names[0]
        return self._scale.converted(model, output)

    def check_answers(self, model: keras.Model, outputs: np.ndarray, targets: np.ndarray, subject: str) -> None:
        advice = f"Check {self.place}.outputs, task.preprocessing_name, and whether such images trained it."
        self._scale.refuse_other_reading(outputs, targets, subject, advice)

    def loss(self, model: keras.Model):
        return self._scale.loss()

    def distillation_loss(self, outputs, teacher, temperature: float):
        return distillation.distillation_loss(outputs, teacher, temperature)

    def evaluate(self, outputs: np.ndarray, targets: np.ndarray) -> Evaluation:
        """Evaluates outputs float [n, 1], standardised, against targets float [n, 1] in the unit."""
        answers = self._scale.number(outputs[:, 0])
        return evaluation.of_numbers(answers, targets[:, 0], self._scale.deviation, self.unit)

    def trivial(self, count: int) -> Trivial:
        return self._scale.trivial(self._train_numbers, count, self.unit)

    def rendered(self, image: np.ndarray, outputs: np.ndarray) -> np.ndarray:
        return self.rendered_truth(image, self._scale.number(outputs))

    def rendered_truth(self, image: np.ndarray, targets: np.ndarray) -> np.ndarray:
        return pictures.captioned(image, f"{float(targets[0]):.3g} {self.unit}")

    def over_time(self, outputs: np.ndarray, scenes: Sequence[Scene], clips: np.ndarray) -> dict[str, float]:
        """Returns jitter, in the unit: the mean |change of answer - change of truth| from frame to frame of a clip."""
        answers = self._scale.number(np.asarray(outputs, np.float64).reshape(-1))
        errors = answers - [self.number(scene) for scene in scenes]
        return {"jitter": float(np.abs(np.diff(errors))[np.diff(clips) == 0].mean())}

    def metadata(self, model: keras.Model) -> dict[str, Any]:
        decode = self._scale.decode(self.unit, self.positive)
        return {"task": self.name, "input": self.input_metadata(), "decode": decode}
