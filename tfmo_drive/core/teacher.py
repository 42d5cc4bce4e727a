"""A teacher whose logits are computed once, for every step and every run that asks for the same views.

The student's epochs cycle through `views` fixed augmentations of each image, so an epoch costs the student alone ("a
consistent teacher", Beyer et al. 2022, needs the same view on both sides: here it is).
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from absl import logging
from tqdm import tqdm

import tfmo_drive
from tfmo_drive.contracts import BadInput, Context
from tfmo_drive.core import atomic, own_model
from tfmo_drive.core.batches import Attached, view_batches
from tfmo_drive.core.cache import cache_root
from tfmo_drive.core.distillation import SoftLabels, logits_of
from tfmo_drive.core.keras2 import keras, tf
from tfmo_drive.core.layers import weights_digest
from tfmo_drive.core.run_folder import key


def attached(labels: SoftLabels, context: Context) -> Attached:
    """What rides along with the targets of a taught step; with alpha = 0 nothing but the choice of views."""
    if not labels.alpha:
        return Attached(labels.views)
    return cached_logits(_teacher(labels, context.baseline), labels.views, context)


def cached_logits(teacher: keras.Model, views: int, context: Context) -> Attached:
    """The teacher's logits for every train image, each view one file in the cache: float32 [n, classes]."""
    task, width = context.task, teacher.output_shape[-1]
    facts = [weights_digest(teacher), task.fingerprint(), task.identity(), context.seed, tfmo_drive.__version__]
    folder = cache_root() / "teacher"
    paths = [folder / f"{key(*facts, view)}.f32" for view in range(views)]
    for view, path in enumerate(paths):
        if not path.exists():
            _write_logits(teacher, view, context, path)
    row = 4 * width

    def read(view: int, indices: np.ndarray) -> np.ndarray:
        with open(paths[view], "rb", buffering=0) as file:
            data = b"".join(os.pread(file.fileno(), row, int(index) * row) for index in indices)
        return np.frombuffer(data, np.float32).reshape(len(indices), width)

    logging.info("teacher: %d views of %d images in %s", views, len(task.examples("train")), folder)
    return Attached(views, width, read)


def _teacher(labels: SoftLabels, baseline: keras.Model) -> keras.Model:
    if not labels.teacher:
        return baseline
    path = Path(labels.teacher)
    if not own_model.is_whole_model(path, "distill.teacher"):
        raise BadInput(f"distill.teacher: {path} holds weights alone. Save the whole model: model.save('teacher.h5').")
    size, classes = baseline.input_shape[1], baseline.output_shape[-1]
    return own_model.read_model(path, size, classes, "distill.teacher")


def _write_logits(teacher: keras.Model, view: int, context: Context, path: Path):
    call = tf.function(lambda batch: logits_of(teacher, teacher(batch, training=False)), reduce_retracing=True)
    total = len(context.task.examples("train"))
    with atomic.file(path) as temporary, open(temporary, "wb") as out:
        for batch in tqdm(view_batches(context, view), f"teacher, view {view + 1}", total=-(-total // 64), leave=False):
            out.write(call(tf.constant(batch)).numpy().astype(np.float32).tobytes())
