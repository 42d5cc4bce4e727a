"""Steers from the camera by a ResNet50; others start from this float network.

make train-lane
make train-lane DATA=path/to/driving_log SET=task.weights=resnet50_notop.h5

Its trained baseline, `runs/lane/stages/0_baseline/model.h5`, is what the other experiments take as WEIGHTS=.

Measured 2026-11-28 on 2 cores, seed 0: baseline/litert_int8 scores 73.5 %, +0.08 (-1.02 to +1.19) points against
float, 3.9x smaller (300 test examples).
"""

from tfmo_drive.experiments.lane_keeping import TRAINING

from tfmo_drive.expect import Expect
from tfmo_drive.experiment import MEASURES, Experiment
from tfmo_drive.measures.robustness import Robustness
from tfmo_drive.measures.temporal import Temporal
from tfmo_drive.targets.litert import LiteRTFloat32, LiteRTInt8
from tfmo_drive.tasks.lane_keeping.lane_keeping import LaneKeeping

EXPERIMENT = Experiment(
    task=LaneKeeping(),
    training=TRAINING,
    targets=(LiteRTFloat32(), LiteRTInt8()),
    measures=(*MEASURES, Robustness(), Temporal()),
    expect=Expect(score_drop=0.02, size_ratio=0.3),
)
