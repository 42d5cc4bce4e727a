"""Predicts a class or a number from rows of sensor readings: large low-dimensional data, read from disk by index.

Rows are files of CSV, JSON lines, Parquet or Feather, the logs of recorded drives, or the built-in series. A board
feeds raw float32 numbers: mean and scale of the train split are inside every file. The score is accuracy, or for
numbers 1 - |error| in standard deviations of the train targets, at least 0 (scores.evaluation).
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging

from tfmo_drive.base import cache, faults
from tfmo_drive.base.given_file import paths_as_text
from tfmo_drive.base.keras2 import keras
from tfmo_drive.base.outputs import names
from tfmo_drive.base.overrides import settings
from tfmo_drive.base.run_folder import file_digest, read_facts
from tfmo_drive.contracts import BadInput, Evaluation, Preprocessing, Task, Trivial
from tfmo_drive.data.class_names import label_ids, no_class, ordered, quoted, read_class_names
from tfmo_drive.data.layouts.known_layouts import unwrapped
from tfmo_drive.data.splitting import SPLITS, refuse_unlearnable
from tfmo_drive.networks import leading_scale, networks, output_kind, own_model, standardised_number
from tfmo_drive.networks.networks import DenseLayers
from tfmo_drive.networks.own_model import Signature
from tfmo_drive.networks.standardised_number import StandardisedNumber
from tfmo_drive.runtimes import given_tflite
from tfmo_drive.scores import evaluation
from tfmo_drive.tasks.sensor_rows import drive_log, packed_rows, row_overview
from tfmo_drive.tasks.sensor_rows.packed_rows import RowExamples, RowPack, RowSource, Summary
from tfmo_drive.tasks.sensor_rows.row_splits import Stretches, divided
from tfmo_drive.tasks.sensor_rows.row_tables import Columns, Table
from tfmo_drive.tasks.sensor_rows.sensor_series import Series, SeriesRows
from tfmo_drive.training import distillation, given_model

CLASS, NUMBER = "class", "number"
SERIES = "series"
"""The value of `data` for the built-in rows."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SensorRows(Task):
    """Predicts a class or a number from rows.

    Args:
        data: "series" (built in), a .csv, .jsonl, .parquet or .feather file, a folder of them, or of the .npz logs of
            drives.
        predicts: "class" or "number".
        network: The network.
        baseline: A trained model, which is then not trained again: weights for `network`, or a whole Keras 2 model, for
            which `standardise` and, for a number, `outputs` must be given.
        classes: A file with the class order.
        standardise: The input of a model of your own: "train" (columns standardised by the train split) or "none"
            (raw; every file standardises them all the same, and the model's first layer takes that back).
        outputs: The answers of a model of your own: for a number "raw" (the target's own unit) or "standardised" (by
            the train split); for classes, where its graph does not tell, "logits", "probabilities" or "sigmoids".
        columns: Which column is what; with a drive's log, `columns.target` is speed or steering.
        stretches: How rows without a group column are cut into groups.
        series: The built-in rows.
        split_seed: The seed of sampled splits.
        allow_code: Whether code inside the files of models (a Lambda layer) may run; by default they are refused.

    Example:
        >>> import tfmo_drive as td
        >>> td.SensorRows(network=td.DenseLayers(units=(32,))).predicts
        'class'
    """

    data: str = SERIES
    predicts: str = CLASS
    network: DenseLayers = DenseLayers()
    baseline: str = ""
    classes: str = ""
    standardise: str = ""
    outputs: str = ""
    columns: Columns = Columns()
    stretches: Stretches = Stretches()
    series: Series = Series()
    split_seed: int = 0
    allow_code: bool = dataclasses.field(default=False, compare=False)

    name = "sensor_rows"
    small_network = DenseLayers(units=(16,))

    def __post_init__(self):
        paths_as_text(self)
        if not self.data.strip():
            raise BadInput('SensorRows.data must not be empty. Name a folder or a file, or "series".')
        if self.predicts not in (CLASS, NUMBER):
            raise BadInput(f"SensorRows.predicts must be class or number, got {self.predicts!r}.")
        if self.standardise not in ("", "train", "none"):
            raise BadInput(f'SensorRows.standardise must be "", train or none, got {self.standardise!r}.')
        if self.predicts == CLASS:
            output_kind.refuse_unknown("SensorRows.outputs", self.outputs)
        else:
            standardised_number.refuse_unknown("SensorRows.outputs", self.outputs)
        if self.split_seed < 0:
            raise BadInput(f"SensorRows.split_seed must be at least 0, got {self.split_seed}.")

    @faults.noting
    def _source(self) -> RowSource:
        classes, path = self.predicts == CLASS, unwrapped(Path(self.data))
        if self.data == SERIES:
            return SeriesRows(self.series, classes)
        if not drive_log.is_log(path):
            return Table(path, self.columns, classes)
        drive_log.refuse_other_arrays(path)
        if classes:
            raise BadInput(f"{path}: the log of a drive has no classes. Add --set=task.predicts=number.")
        return drive_log.DriveLogs(path, self.columns.target or "speed")

    @functools.cached_property
    def _pack(self) -> RowPack:
        return packed_rows.pack(self._source)

    @functools.cached_property
    def _runs(self) -> packed_rows.Runs:
        return divided(self._pack.runs, self.stretches, self.split_seed, self._source.name)

    @functools.cached_property
    def class_names(self) -> tuple[str, ...]:
        """Returns the classes' names in the order of the model's outputs; () where it predicts a number."""
        if self.predicts == NUMBER:
            return ()
        found = read_class_names(self.classes) if self.classes else ordered(self._source.name, self._pack.classes)
        if min(len(found), len(self._pack.classes)) < 2:
            shown = quoted(self._pack.classes)
            raise BadInput(f"{self._source.name}: the target is always {shown}. Give rows of two classes.")
        return found

    @functools.cached_property
    def _ids(self) -> np.ndarray | None:
        """Returns the class id of every code in the entry."""
        if self.predicts == NUMBER:
            return None
        ids = label_ids(self._pack.classes, self.class_names)
        unknown = next((word for word in self._pack.classes if word not in ids), None)
        if unknown is not None:
            raise BadInput(f"{self._source.name}: {no_class(unknown, self.class_names)}")
        return np.array([ids[word] for word in self._pack.classes], np.int64)

    @functools.cached_property
    def _splits(self) -> dict[str, RowExamples]:
        runs = self._runs
        return {name: RowExamples(self._pack, runs.at(runs.split == i), self._ids) for i, name in enumerate(SPLITS)}

    def data_sentences(self) -> Iterator[str]:
        """Yields what there is to know of the rows before training, a sentence each.

        Raises BadInput where they cannot teach.
        """
        drawn = [name for place, name in enumerate(SPLITS) if place and place not in self._pack.runs.split]
        return row_overview.sentences(self._source, self._splits, drawn, self.class_names)

    def examples(self, split: str) -> RowExamples:
        """Returns raw rows float32 [b, columns], and class ids int64 [b] or numbers float32 [b, 1]."""
        return self._splits[split]

    @faults.noting
    def _summary(self) -> Summary:
        """Returns the summary of the train split; raises BadInput where it cannot teach."""
        found = self.examples("train").summary()
        if self.data != SERIES:
            for sentence in self.data_sentences():
                faults.note(self.data, sentence, logging.INFO)
        if self.predicts == CLASS and not self.baseline:
            row_overview.refuse_numbers(self._source, self.class_names, len(self.examples("train")))
            labels = {split: self.examples(split).labels for split in SPLITS}
            refuse_unlearnable(self._source.name, self.class_names, labels, "row")
        absent = [name for i, name in enumerate(self.class_names) if i not in found.classes]
        if absent:
            faults.note(self._source.name, f"no train row of class {quoted(absent)}, so it cannot be learned.")
        if self.predicts == NUMBER and not found.deviation[-1]:
            raise BadInput(f"{self._source.name}: the target is {found.mean[-1]:g} in every train row. Name another.")
        return found

    @faults.noting
    def preprocessing(self) -> Preprocessing:
        """Returns (x - mean) / deviation of the train split, which a given model of raw rows takes back (`converted`).

        A column that is constant there tells nothing, and becomes 0; before a model of raw rows it keeps its scale.
        """
        count = len(self._source.columns)
        if self._as_they_are:
            return Preprocessing("none", tuple(range(count)), (1.0,) * count, (0.0,) * count, "row", None, "float32")
        mean, deviation = self._summary.mean[:-1], self._summary.deviation[:-1]
        constant = np.flatnonzero(deviation == 0)
        if self.standardise == "none":
            deviation = np.where(deviation > 0, deviation, 1.0)
        elif len(constant):
            unused = quoted([self._source.columns[i] for i in constant])
            faults.note(self._source.name, f"constant in train, so not used: {unused}.")
        scale = np.divide(1.0, deviation, out=np.zeros(count), where=deviation > 0).astype(np.float32)
        offset = (-mean * scale).astype(np.float32)
        name = f"standardised {cache.digest([scale.tolist(), offset.tolist()])[:12]}"
        affine = tuple(range(count)), tuple(scale.tolist()), tuple(offset.tolist())
        return Preprocessing(name, *affine, "row", None, "float32")

    @functools.cached_property
    def _as_they_are(self) -> bool:
        """Says whether the model gets raw rows: a network that is trained on them, or a file that cannot be changed."""
        path = Path(self.baseline)
        if self.standardise != "none" or not self.baseline or given_tflite.is_tflite(path):
            return self.standardise == "none"
        return own_model.is_stage(path) and read_facts(path.parent).get("preprocessing") == "none"

    def identity(self) -> dict[str, Any]:
        kept = {name: settings(getattr(self, name)) for name in ("predicts", "network", "standardise")}
        kept |= {"outputs": self.outputs} if self.outputs else {}
        kept |= {"preprocessing": self.preprocessing.name} if self.standardise == "none" else {}
        return {**kept, "columns": list(self._source.columns), "classes": list(self.class_names)}

    def given(self) -> str:
        return file_digest(Path(self.baseline)) if self.baseline else ""

    def fingerprint(self) -> str:
        """Returns a hex digest of the rows, and of which are in which split."""
        return hashlib.sha256(self._pack.fingerprint.encode() + np.stack(self._runs).tobytes()).hexdigest()

    def build(self, network: DenseLayers | None = None) -> keras.Model:
        """Returns the untrained model, or the given baseline; its input is standardised float32 [b, columns]."""
        count, outputs = len(self._source.columns), len(self.class_names) or 1
        own = functools.partial(networks.build, network or self.network, count, outputs)
        if network is not None or not self.baseline:
            return own()
        return given_model.baseline(Path(self.baseline), own, self, self.undeclared)

    def signature(self) -> Signature:
        """Returns the shapes that a model must take and give."""
        outputs = len(self.class_names) or 1
        return Signature(
            (len(self._source.columns),), {networks.LOGITS if outputs > 1 else networks.NUMBER: (outputs,)}
        )

    def undeclared(self) -> Iterator[str]:
        """Yields what a user must still say of a whole model, with the setting: nothing about it is guessed."""
        if not self.standardise:
            yield (
                "what its input was, with --set=task.standardise=train (columns standardised by this train split) or "
                "none (raw columns)"
            )
        if self.predicts == NUMBER:
            yield from standardised_number.undeclared("task.outputs", self.outputs)

    @property
    def _scale(self) -> StandardisedNumber:
        return StandardisedNumber(self._summary.mean[-1], self._summary.deviation[-1], self.outputs)

    def _kind(self, model: keras.Model) -> str:
        return output_kind.of(model, names(model)[0], self.outputs, "task.outputs")

    def logits(self, model: keras.Model):
        if self.predicts == NUMBER:
            return super().logits(model)
        return functools.partial(output_kind.logits, kind=self._kind(model))

    def converted(self, model: keras.Model, subject: str) -> keras.Model:
        if self.predicts == NUMBER:
            model = self._scale.converted(model, names(model)[0])
        if self.standardise != "none" or self._as_they_are:
            return model
        moments = self._summary.mean[:-1], self._summary.deviation[:-1]
        return leading_scale.for_standardised(model, *moments, subject)

    def check_answers(self, model: keras.Model, outputs: np.ndarray, targets: np.ndarray, subject: str) -> None:
        if self.predicts == CLASS:
            asked = output_kind.Asked(model, names(model)[0], self.outputs, "task.outputs", subject)
            return output_kind.refuse_other_kind(asked, outputs)
        return self._scale.refuse_other_reading(
            outputs, targets, subject,
            "Check task.outputs, task.standardise, and the order of the columns (task.columns.inputs=a,b,c).",
        )  # fmt: skip

    def loss(self, model: keras.Model):
        if self.predicts == CLASS:
            return output_kind.cross_entropy(self._kind(model))
        return self._scale.loss()

    def distillation_loss(self, outputs, teacher, temperature: float):
        return distillation.distillation_loss(outputs, teacher, temperature)

    def evaluate(self, outputs: np.ndarray, targets: np.ndarray) -> Evaluation:
        """Evaluates outputs float [n, classes] against class ids int [n], or [n, 1] (standardised) against numbers."""
        if self.predicts == CLASS:
            return evaluation.of_classes(outputs, targets, self.class_names)
        answers = self._scale.number(outputs[:, 0])
        return evaluation.of_numbers(answers, targets[:, 0], self._scale.deviation, self._source.unit)

    @functools.cached_property
    def _train_targets(self) -> np.ndarray:
        """Returns the train targets [m]: class ids, or numbers."""
        return self.examples("train").labels.reshape(-1)

    def trivial(self, count: int) -> Trivial:
        """Returns the most frequent class; for numbers the median, from which absolute errors are least."""
        if self.predicts == CLASS:
            return evaluation.always_class(self._train_targets, self.class_names, count)
        return self._scale.trivial(self._train_targets, count)

    def metadata(self, model: keras.Model) -> dict[str, Any]:
        feed = "one float32 per column, raw, in this order; standardising is inside the file"
        described = {"task": self.name, "input": {"columns": list(self._source.columns), "feed": feed}}
        if self.predicts == CLASS:
            decode = output_kind.decode(self._kind(model))
            return {**described, "labels": list(self.class_names), "decode": decode}
        return {**described, "decode": self._scale.decode(self._source.unit)}
