"""Steers from the camera and the vehicle's speed, in int8 with and without training; a car that understeers needs both.

The network sees the frame; a few dense layers fuse what it saw with the speed (late fusion). The built-in car steers
twice as much for the same bend at 22 m/s, so that the frame alone does not tell the answer.

make train-steering_with_speed
make train-steering_with_speed DATA=path/to/driving_log SET=task.columns.speed=mph

Measured 2026-11-30 on 2 cores, seed 0: steering_with_speed/litert_int8 scores 81.1 %, +0.23 (-0.05 to +0.55) points
against float, 3.7x smaller (300 test examples). The machine was busy, so its speed is not told.
"""

from tfmo_drive.expect import Expect
from tfmo_drive.experiment import MEASURES, Experiment
from tfmo_drive.measures.robustness import Robustness
from tfmo_drive.networks.backbones import PilotNet
from tfmo_drive.steps.quantize_aware import QuantizeAware
from tfmo_drive.steps.train import Train
from tfmo_drive.targets.litert import LiteRTInt8
from tfmo_drive.tasks.lane_keeping.lane_keeping import LaneKeeping

TUNED = {"epochs": 4, "batch_size": 32, "learning_rate": 0.002}

EXPERIMENT = Experiment(
    task=LaneKeeping(inputs=("image", "speed"), network=PilotNet(activation="relu")),
    training=Train(epochs=40, batch_size=32, learning_rate=0.01, warmup_epochs=1.0),
    recipe=(QuantizeAware(**TUNED),),
    controls={"longer_training": (Train(**TUNED),)},
    targets=(LiteRTInt8(),),
    measures=(*MEASURES, Robustness()),
    expect=Expect(error_ratio=1.03, size_ratio=0.3),
)
