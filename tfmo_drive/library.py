"""Compresses a Keras model on arrays in a few lines of Python: an ordinary task and an ordinary run behind them.

import tfmo_drive as td

data = td.arrays(train=(x, y), val=(xv, yv), test=(xt, yt))
result = td.compress(model, [td.Prune(sparsity=0.7), td.QuantizeAware(preserve="sparsity")], data)
print(result.rows, result.best.path)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from tfmo_drive.base import run_folder
from tfmo_drive.base.cache import cache_root, digest
from tfmo_drive.base.overrides import settings
from tfmo_drive.contracts import BadInput, Measure, Step, Target
from tfmo_drive.data.augmentation import Augmentation
from tfmo_drive.experiment import MEASURES, Experiment
from tfmo_drive.flow.flow import Run
from tfmo_drive.report.rendering.markdown import rows_table, terminal
from tfmo_drive.report.row_facts import UNHARMED
from tfmo_drive.report.write_report import write
from tfmo_drive.runtimes import tflite_model
from tfmo_drive.scores.gallery import Gallery
from tfmo_drive.steps.train import Train
from tfmo_drive.targets.litert import LiteRTInt8
from tfmo_drive.tasks.arrays import given_arrays
from tfmo_drive.tasks.arrays.any_keras import in_keras_2
from tfmo_drive.tasks.arrays.array_task import ArrayTask
from tfmo_drive.tasks.arrays.given_arrays import ArrayData
from tfmo_drive.tasks.arrays.user_functions import Loss, Metric
from tfmo_drive.training import given_model

if TYPE_CHECKING:
    import pandas

NAME = "compressed"
"""The name of the recipe's rows."""


class Row(dict[str, Any]):
    """Holds one row by the keys of report.json ("score", "size_bytes", ...), and the file that it is about."""

    def __init__(self, facts: dict[str, Any], path: Path) -> None:
        super().__init__(facts)
        self.path = path

    @property
    def name(self) -> str:
        """Returns the name of the row, "compressed/litert_int8"."""
        return self["name"]


class Rows(tuple[Row, ...]):
    """Holds the rows of a report, the float baseline first; they print as the table that a command line shows."""

    table: str

    def __repr__(self) -> str:
        return self.table

    def to_pandas(self) -> pandas.DataFrame:
        """Returns a DataFrame of all numbers and texts, a row's name its index; raises BadInput without pandas."""
        try:
            import pandas
        except ImportError as error:
            raise BadInput("Rows.to_pandas needs pandas, which is not here. Type: pip install pandas") from error
        plain = [{key: one for key, one in row.items() if isinstance(one, bool | int | float | str)} for row in self]
        return pandas.DataFrame(plain).set_index("name")


@dataclasses.dataclass(frozen=True, eq=False)
class Result:
    """Holds what `compress` made; printed, it is the table and the verdict of the report."""

    rows: Rows
    """The rows of every model on every target, the float baseline first."""
    folder: Path
    """The run folder, with stages, artifacts and the report."""
    _report: dict[str, Any] = dataclasses.field(repr=False)
    _gallery: Gallery = dataclasses.field(repr=False)

    def __repr__(self) -> str:
        return terminal(self._report)

    @property
    def best(self) -> Row:
        """Returns the smallest file at most one point below the float baseline, or else the one that scores highest.

        Raises BadInput where score or size were not measured.
        """
        if not all({"score", "size_bytes"} <= row.keys() for row in self.rows):
            raise BadInput("Result.best needs score and size: give compress(measures=[td.Accuracy(), td.Size(), ...]).")
        unharmed = [row for row in self.rows if row["score_delta"] >= -UNHARMED]
        if unharmed:
            return min(unharmed, key=lambda row: row["size_bytes"])
        return max(self.rows, key=lambda row: row["score"])

    def report(self, folder: str | Path) -> Path:
        """Writes report.html, report.md, report.json and their pictures into `folder`.

        Returns:
            The path of report.html. Raises BadInput where other people's files lie in the folder.
        """
        with run_folder.held(Path(folder)):
            write(self._report, Path(folder), self._gallery)
        return Path(folder) / "report.html"


def arrays(
    train: Any, val: Any, test: Any, *, groups: Mapping[str, Sequence] = MappingProxyType({}),
    input_range: Sequence[float] | Mapping[str, Sequence[float]] | None = None,
    class_names: Sequence[str] | None = None, preprocessing: str | Mapping[str, str] = "none",
) -> ArrayData:  # fmt: skip
    """Reads three splits of your own examples.

    Args:
        train: (inputs, targets), or a tf.data.Dataset of them, batched or not, which is read once, into the cache.
            Inputs are uint8 or floating-point numbers: images [n, height, width, channels], rows [n, features] or
            sequences [n, time, features]; several of them are by the names of the model's inputs, as {"image": x,
            "speed": s}, or a tuple in their order, and numbers among them may be [n]. Targets [n] are classes where
            they are whole numbers or texts (or one-hot rows), numbers to predict where they are floating-point numbers,
            and anything else where `compress` is given a loss and a metric.
        val: The same, by which training keeps its best epoch.
        test: The same, on which files are judged.
        groups: {"test": [n]}, by split, a whole number or a text for each example: examples of one group (frames of one
            recording, rows of one drive) are alike, so intervals resample whole groups, and no group may be in two
            splits. A split that is left out has examples that are independent of one another.
        input_range: The lowest and the highest input, such as (0, 1), where inputs are floating-point numbers. Without
            it each column (or channel) is standardised by the train split, in front of every file. Of several inputs
            it is by name, as {"speed": (0, 50)}.
        class_names: The names of the classes in the order of the model's outputs.
        preprocessing: What the model was fed: "none" (the inputs as they are), or of uint8 images what
            keras.applications makes of them, "caffe" (ResNet50), "tf" (MobileNetV2), "torch" or "unit" (0..1), or a
            line that says it: "bgr/255", "rgb/127.5-1", "(x-127.5)/60", "yuv/255" (data.preprocessing_text); of
            several inputs by name.

    Returns:
        The data for `compress`.

    Raises:
        BadInput: Something does not fit, in one line.

    Example:
        >>> import numpy as np
        >>> import tfmo_drive as td
        >>> x = np.random.default_rng(0).normal(size=(30, 4))
        >>> y = (x[:, 0] > 0).astype(int)
        >>> td.arrays(train=(x[:20], y[:20]), val=(x[20:25], y[20:25]), test=(x[25:], y[25:])).shape
        (4,)
    """
    return given_arrays.read(
        {"train": train, "val": val, "test": test}, groups, input_range, class_names, preprocessing
    )


def compress(
    model: Any, steps: Sequence[Step], data: ArrayData, targets: Sequence[Target] = (LiteRTInt8(),), *,
    loss: Loss | None = None, metric: Metric | None = None, outputs: str = "", augmentation: Augmentation | None = None,
    training: Train | None = None, measures: Sequence[Measure] = MEASURES, seed: int = 0,
    workdir: str | Path | None = None,
) -> Result:  # fmt: skip
    """Compresses a model step by step, converts it and the float model for every target, and measures all the files.

    Args:
        model: A functional or Sequential model of Keras 2 (tf_keras) or 3 of one output, which takes what `data` has;
            several inputs are called as there. It is not changed; one of Keras 3 is rebuilt in Keras 2, on which tfmot
            works, and proved by equal answers. Or the path of its file: .keras, .h5, a SavedModel of Keras 2, or a
            `.tflite`, which is measured, quantised where it is float, and takes no steps.
        steps: What to do, in this order; [] for the conversion alone.
        data: What `arrays` gives.
        targets: Where the model will run. The float model on LiteRT is always measured too.
        loss: What training lowers, as Keras takes it; by default the cross-entropy of classes and Huber's loss of
            numbers, in standard deviations.
        metric: (targets, outputs) to a number in [0, 1] for each example, higher is better, or an ErrorMetric, whose
            unit is yours and lower is better; by default 1 for the right class, and of numbers 1 - |error| in standard
            deviations, at least 0.
        outputs: "logits", "probabilities" or "sigmoids", where the model's graph does not tell.
        augmentation: How train images are changed from epoch to epoch; by default they are not.
        training: How the model is trained first, such as Train(epochs=8); by default it is taken as trained.
        measures: What every row is asked; fewer take less time.
        seed: Of order, augmentation, calibration and initial weights: the same seed, the same files.
        workdir: The run folder; by default one in the cache ($TFMO_DRIVE_CACHE), named after all of the above, so that
            the same call finds its finished stages again.

    Returns:
        The rows of the report and their files.

    Raises:
        BadInput: Something does not fit, in one line, before anything is trained.
        BrokenPromise: A later step undid what an earlier one promised.

    Example:
        >>> import numpy as np
        >>> import tfmo_drive as td
        >>> from tf_keras import layers, Input, Sequential
        >>> x = np.random.default_rng(0).normal(size=(300, 4))
        >>> y = (x[:, 0] > 0).astype(int)
        >>> data = td.arrays(train=(x[:200], y[:200]), val=(x[200:250], y[200:250]), test=(x[250:], y[250:]))
        >>> model = Sequential([Input((4,)), layers.Dense(8, "relu"), layers.Dense(2)])
        >>> result = td.compress(model, [td.Prune(epochs=2)], data, training=td.Train(epochs=2))
        >>> [row.name for row in result.rows]
        ['baseline/litert_float32', 'baseline/litert_int8', 'compressed/litert_float32', 'compressed/litert_int8']
    """
    if not isinstance(data, ArrayData):
        raise BadInput(f"compress: data must be what td.arrays(train=..., val=..., test=...) gives, got {type(data)}.")
    model = in_keras_2(model, "compress: the model")
    if training and tflite_model.file_of(model):
        raise BadInput("compress: a .tflite cannot be trained. Leave training= out, or give the Keras model.")
    task = ArrayTask(
        arrays=data, model=model, trained=training is None, loss_given=loss, metric=metric, outputs=outputs,
        augmentation=augmentation,
    )  # fmt: skip
    given_model.adopted(task.build(), task, "compress: the model")
    experiment = Experiment(
        task=task, recipe=_several("steps", steps), targets=_several("targets", targets),
        measures=_several("measures", measures), **({"training": training} if training else {}),
    )  # fmt: skip
    if workdir is None:
        facts = [settings(experiment), task.identity(), task.fingerprint(), seed]
        workdir = cache_root() / "runs" / digest(facts)[:20]
    run = Run(name=NAME, experiment=experiment, workdir=Path(workdir).expanduser(), seed=seed)
    report, gallery = run.measured()
    rows = Rows(Row(row, gallery.artifacts[row["name"]].path) for row in report["rows"])
    rows.table = rows_table(report)
    return Result(rows, run.workdir, report, gallery)


def _several(name: str, given: Any) -> tuple:
    """Returns a list or a tuple as a tuple; raises BadInput for one step or target alone."""
    if not isinstance(given, (list, tuple)):
        kind = type(given).__name__
        raise BadInput(f"compress: {name} must be a list, got {kind}. Write [{kind}()].")
    return tuple(given)
