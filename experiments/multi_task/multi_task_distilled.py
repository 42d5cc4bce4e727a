"""Trains the network of several tasks on, with single-task networks as its teachers.

What sharing a backbone cost one task comes back when that task's own network says what it should have answered (Clark
et al. 2019, "BAM! Born-again multi-task networks"). Name one or several, separated by commas; the baseline itself
teaches the outputs that none of them gives, and all of them where none is named.

make train-multi_task_distilled
make train-multi_task_distilled WEIGHTS=runs/multi_task/stages/0_baseline/model.h5 \\
    SET=recipe.0.distill.teacher=runs/detection/stages/0_baseline/model.h5

Measured 2026-11-28 on 2 cores, seed 0: multi_task_distilled/litert_int8 scores 53.4 %, +0.15 (-0.20 to +0.50)
points against float, 3.9x smaller (300 test examples).
"""

from tfmo_drive.experiments.multi_task import TRAINING

from tfmo_drive.expect import Expect
from tfmo_drive.experiment import MEASURES, Experiment
from tfmo_drive.measures.robustness import Robustness
from tfmo_drive.measures.temporal import Temporal
from tfmo_drive.steps.train import Train
from tfmo_drive.targets.litert import LiteRTFloat32, LiteRTInt8
from tfmo_drive.tasks.detection.detection import Detection
from tfmo_drive.tasks.lane_keeping.lane_keeping import LaneKeeping
from tfmo_drive.tasks.multi_task import MultiTask
from tfmo_drive.tasks.segmentation.segmentation import Segmentation
from tfmo_drive.training.distillation import SoftLabels

TASK = MultiTask(parts=(Segmentation(), Detection(), LaneKeeping()))
TUNED = {
    "epochs": 6, "batch_size": 16, "learning_rate": 0.005, "warmup_epochs": 0.3, "final_learning_rate": 0.05,
    "averaged_epochs": 3,
}  # fmt: skip
LABELS = {"temperature": 1.0, "augmented_copies": 2}

EXPERIMENT = Experiment(
    task=TASK,
    training=TRAINING,
    recipe=(Train(**TUNED, distill=SoftLabels(alpha=0.8, **LABELS)),),
    controls={"untaught": (Train(**TUNED, distill=SoftLabels(alpha=0.0, **LABELS)),)},
    targets=(LiteRTFloat32(), LiteRTInt8()),
    measures=(*MEASURES, Robustness(), Temporal()),
    expect=Expect(worst_part_drop=0.02, size_ratio=0.3),
)
