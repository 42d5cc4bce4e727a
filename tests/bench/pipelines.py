"""What feeds the training, and what judges the files: neither may be what one waits for."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from tests.bench.interleaving import ratio, turns
from tests.bench.steps import turn
from tfmo_drive.contracts import Context, Task
from tfmo_drive.data import batches
from tfmo_drive.runtimes.interpreters import LiteRTArtifact
from tfmo_drive.scenes.frames import Frames
from tfmo_drive.steps.train import Train
from tfmo_drive.targets.litert import LiteRTInt8
from tfmo_drive.tasks.detection.detection import Detection
from tfmo_drive.tasks.lane_keeping.lane_keeping import LaneKeeping
from tfmo_drive.tasks.segmentation.segmentation import Segmentation
from tfmo_drive.training.trained_step import Hooks

BATCH, STEPS = 16, 4
FRAMES = Frames(train=BATCH * STEPS, val=16, test=16)


def detection_input(rounds: int = 5) -> dict:
    """Reading, augmenting and encoding boxes, against all of a training step of the ResNet50 detector."""
    return _input(Detection(scenes=FRAMES), rounds)


def segmentation_input(rounds: int = 5) -> dict:
    """The same with masks."""
    return _input(Segmentation(scenes=FRAMES), rounds)


def steering_input(rounds: int = 5) -> dict:
    """The same with a number, at the larger images of scenes."""
    return _input(LaneKeeping(scenes=FRAMES, image_size=(96, 128)), rounds)


def _input(task: Task, rounds: int) -> dict:
    with tempfile.TemporaryDirectory() as workdir:
        context, step = Context(task, task.build(), (), Path(workdir), seed=0), Train(batch_size=BATCH)

        made = batches.TrainingBatches(context, BATCH)

        def read():
            for _ in made.epoch(0):
                pass

        read()
        runs = {"reference": turn(context.baseline, Hooks(), step, context), "ours": read}
        return ratio(turns(runs, rounds), 1 / 3, STEPS)


def evaluation(rounds: int = 7) -> dict:
    """A detector's int8 file over a batch, against one interpreter in a loop ("stock": it on two threads)."""
    task = Detection(scenes=FRAMES)
    with tempfile.TemporaryDirectory() as workdir:
        context = Context(task, task.build(), (), Path(workdir), seed=0)
        path = LiteRTInt8(calibration_images=8)(context.baseline, Path(workdir), context).path
        pixels = task.examples("train").read(np.arange(BATCH * STEPS))[0]
        ours, alone, two = (LiteRTArtifact(path, threads=threads) for threads in (2, 1, 2))
        runs = {
            "ours": lambda: ours.predict(pixels),
            "reference": lambda: alone.predict(pixels),
            "stock": lambda: _loop(two, pixels),
        }
        for run in runs.values():
            run()
        return ratio(turns(runs, rounds), 1 / 1.7)


def _loop(artifact: LiteRTArtifact, pixels: np.ndarray) -> None:
    for image in pixels:
        artifact.runner(image)()
