"""Knowledge distillation: Hinton, Vinyals & Dean 2015, with a teacher whose logits are computed once.

The teacher sees each image under `views` fixed augmentations; the student's epochs cycle through them, so an epoch
costs the student alone ("a consistent teacher", Beyer et al. 2022, needs the same view on both sides: here it is).
"""

from __future__ import annotations

import dataclasses
import os

import numpy as np
from absl import logging
from tqdm import tqdm

from tfmo_drive.contracts import BadInput, Context
from tfmo_drive.core import atomic, networks
from tfmo_drive.core.batches import Attached, view_batches
from tfmo_drive.core.distillation import Distiller, logits_of
from tfmo_drive.core.keras2 import keras, tf
from tfmo_drive.core.networks import Network
from tfmo_drive.core.training import Hooks, TrainedStep


@dataclasses.dataclass(frozen=True, kw_only=True)
class Distill(TrainedStep):
    """Replace the model by `student`, taught by the baseline: (1 - alpha) hard + alpha T^2 soft.

    With alpha=0 the same student is trained without a teacher: the control.
    """

    student: Network = networks.SmallCNN()
    temperature: float = 4.0
    alpha: float = 0.9
    views: int = 3
    epochs: int = 12
    learning_rate: float = 0.02
    warmup_epochs: float = 1.0

    def __post_init__(self):
        super().__post_init__()
        if not 0 < self.temperature <= 100:
            raise BadInput(f"Distill.temperature must be in (0, 100], got {self.temperature}.")
        if not 0 <= self.alpha <= 1:
            raise BadInput(f"Distill.alpha must be in [0, 1], got {self.alpha}.")
        if self.views < 1:
            raise BadInput(f"Distill.views must be at least 1, got {self.views}.")

    def structure(self, model: keras.Model, context: Context) -> keras.Model:
        keras.utils.set_random_seed(context.seed)
        return networks.build(self.student, model.input_shape[1], model.output_shape[-1])

    def prepared(self, model: keras.Model, context: Context) -> tuple[keras.Model, Hooks]:
        student = self.structure(model, context)
        # Without a teacher the views are the same, so that the control differs in the teacher alone.
        teacher = cached_logits(context.baseline, self.views, context) if self.alpha else Attached(self.views)
        return Distiller(student, self.temperature, self.alpha), Hooks(attached=teacher, scored=student)

    def finished(self, trained: Distiller) -> keras.Model:
        return trained.student


def cached_logits(teacher: keras.Model, views: int, context: Context) -> Attached:
    """The teacher's logits for every train image under each view, float32 files [n, classes] in the stage's folder."""
    width = teacher.output_shape[-1]
    count = len(context.task.examples("train"))
    paths = [context.workdir / f"teacher_view{view}.f32" for view in range(views)]
    for view, path in enumerate(paths):
        if not path.exists():
            _write_logits(teacher, view, context, path)
    row = 4 * width

    def read(view: int, indices: np.ndarray) -> np.ndarray:
        with open(paths[view], "rb", buffering=0) as file:
            data = b"".join(os.pread(file.fileno(), row, int(index) * row) for index in indices)
        return np.frombuffer(data, np.float32).reshape(len(indices), width)

    logging.info("teacher: %d views of %d images cached", views, count)
    return Attached(views, width, read)


def _write_logits(teacher: keras.Model, view: int, context: Context, path):
    call = tf.function(lambda batch: logits_of(teacher, teacher(batch, training=False)), reduce_retracing=True)
    total = len(context.task.examples("train"))
    with atomic.file(path) as temporary, open(temporary, "wb") as out:
        for batch in tqdm(view_batches(context, view), f"teacher, view {view + 1}", total=-(-total // 64), leave=False):
            out.write(call(tf.constant(batch)).numpy().astype(np.float32).tobytes())
