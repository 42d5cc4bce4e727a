"""A given model's answers brought to the task's units, and held against real data before anything is written."""

from __future__ import annotations

import math

import numpy as np

from tfmo_drive.contracts import Task
from tfmo_drive.core import scoring
from tfmo_drive.core.keras2 import keras

_EXAMPLES, _FEWEST, _NUMBERS = 128, 8, 1 << 24
"""How many of val, spread over all of it: fewer of large maps, whose answers are to stay below so many numbers."""


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
