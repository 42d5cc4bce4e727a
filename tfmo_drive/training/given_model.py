"""A given model: read, brought to the units of the task, and held against real data before anything is written."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tfmo_drive.base.keras2 import keras
from tfmo_drive.contracts import Task
from tfmo_drive.networks import networks, own_model
from tfmo_drive.training import scoring

_EXAMPLES, _FEWEST, _NUMBERS = 128, 8, 1 << 24
"""How many of val, spread over all of it: fewer of large maps, whose answers are to stay below so many numbers."""


def baseline(path: Path, own: keras.Model, task: Task, declared: Callable[[], None]) -> keras.Model:
    """The trained model at `path`: weights for the task's `own` network, which are read into it, a stage of an earlier
    run, or a whole model.

    Raises BadInput where it does not fit, and what `declared` raises where the task's settings do not say what only the
    user of a whole model can know.
    """
    subject = f"task.baseline: {path}"
    if not own_model.is_whole_model(path):
        networks.load_weights(own, path, "task.baseline")
        return adopted(own, task, subject)
    stage = own_model.is_stage(path)
    if stage:
        own_model.refuse_other_stage(path, task.preprocessing.name, task.metadata(own))
    else:
        declared()
    model = own_model.read_model(path, own_model.Signature.of(own), allow_code=task.allow_code)
    return model if stage else adopted(model, task, subject)


def adopted(model: keras.Model, task: Task, subject: str) -> keras.Model:
    """`model`, which somebody gives, with outputs in the task's units (Task.converted).

    Raises BadInput, which begins with `subject` ("task.baseline: mine.h5"), where it is not known what they mean, and
    where what the model answers on val cannot mean that (Task.check_answers).
    """
    made = task.converted(model, subject)
    numbers = sum(math.prod(one.shape[1:]) for one in made.outputs)
    count, most = len(task.examples("val")), min(_EXAMPLES, max(_FEWEST, _NUMBERS // numbers))
    chosen = np.unique(np.linspace(0, count - 1, min(count, most)).astype(np.int64))
    task.check_answers(made, *scoring.Scorer(made, task).said("val", chosen), subject)
    return made
