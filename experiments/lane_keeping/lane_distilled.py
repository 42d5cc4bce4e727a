"""Teaches a small network to steer by the ResNet50, then int8; aims at 1/50 of the bytes.

It ends in the mean of its last epochs: one alone answers with noise that a controller feels, and val, drawn from the
same drive, cannot tell which epoch does least. int8 comes without training, which cost less here than four epochs under
fake quantisation.

make train-lane_distilled
make train-lane_distilled DATA=path/to/driving_log WEIGHTS=runs/lane/stages/0_baseline/model.h5

Measured 2026-11-28 on 2 cores, seed 0: lane_distilled/litert_int8 scores 70.5 %, -3.96 (-5.53 to -2.66) points
against float, 160x smaller (101 test examples).
"""

from tfmo_drive.experiments.lane_keeping import TRAINING

from tfmo_drive.expect import Expect
from tfmo_drive.experiment import MEASURES, Experiment
from tfmo_drive.measures.robustness import Robustness
from tfmo_drive.measures.temporal import Temporal
from tfmo_drive.networks.backbones import ResNet
from tfmo_drive.steps.distill import Distill
from tfmo_drive.targets.litert import LiteRTFloat32, LiteRTInt8
from tfmo_drive.tasks.lane_keeping.lane_keeping import LaneKeeping
from tfmo_drive.training.distillation import SoftLabels

STUDENT = {
    "student": ResNet(blocks=(1, 1, 1, 1), width=0.25), "epochs": 24, "learning_rate": 0.005, "warmup_epochs": 2.0,
    "batch_size": 32, "averaged_epochs": 18,
}  # fmt: skip

EXPERIMENT = Experiment(
    task=LaneKeeping(),
    training=TRAINING,
    recipe=(Distill(**STUDENT, distill=SoftLabels(alpha=0.5, augmented_copies=8)),),
    controls={"untaught": (Distill(**STUDENT, distill=SoftLabels(alpha=0.0, augmented_copies=8)),)},
    targets=(LiteRTFloat32(), LiteRTInt8()),
    measures=(*MEASURES, Robustness(), Temporal()),
    expect=Expect(error_ratio=1.1, size_ratio=0.02),
)
