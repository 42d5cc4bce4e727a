"""Describes a `.tflite` of another maker by the task that the flags choose, so that it can be asked like ours."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from absl import flags

from tfmo_drive.commands import experiment_flags
from tfmo_drive.contracts import BadInput, Context
from tfmo_drive.runtimes import given_tflite

FLAGS = flags.FLAGS
_TELLING = ("experiment", "data", "set", "weights")
"""The flags that tell what a file itself does not."""


@contextlib.contextmanager
def described(model: Path) -> Iterator[Path]:
    """Yields a model file with metadata: the model itself, or, while it is open, a copy that the flags describe.

    Raises BadInput where the flags are missing or say what the file says itself, and as a run does for a given model.
    """
    told = [name for name in _TELLING if FLAGS[name].present]
    if not (model.is_file() and given_tflite.is_tflite(model)) or given_tflite.metadata(model):
        if told:
            raise BadInput(f"{model} says itself what it takes and answers. Leave --{told[0]} out.")
        yield model
        return
    if not FLAGS.experiment:
        raise BadInput(
            f"{model} carries no tfmo_drive metadata, which would say what it takes and answers. Say it with an "
            "experiment of its task, data of its kind, its classes in their order and how its input was made: "
            "--experiment=post_training --data=path/to/images --set=task.classes=classes.txt "
            "--set=task.preprocessing_name=tf."
        )
    if FLAGS.weights:
        raise BadInput(f"--weights: the model is {model} itself. Leave --weights out.")
    with tempfile.TemporaryDirectory() as folder:
        yield _copy(model, Path(folder))


def _copy(model: Path, folder: Path) -> Path:
    """Returns the path of a file like the given one, taking raw inputs and with the metadata of the chosen task."""
    from tfmo_drive.base.overrides import override
    from tfmo_drive.targets import litert

    said = [f"task.baseline={model}", *experiment_flags.assignments()]
    task = override(experiment_flags.experiment(FLAGS.experiment), said).task
    built = task.build()
    targets = (litert.LiteRTFloat32(), litert.LiteRTFloat16(), litert.LiteRTDynamic(), litert.LiteRTInt8(),
               litert.LiteRTInt16x8(), litert.LiteRTMixed())  # fmt: skip
    target = next(one for one in targets if one.refuses(built) is None)
    return target(built, folder, Context(task, built, (target,), folder, FLAGS.seed)).path
