"""Segments, detects and steers by one ResNet50: three heads on one backbone, one file for the board.

make train-multi_task
make train-multi_task SET="task.weights=resnet50_notop.h5"

The built-in scenes have all three kinds of truth. Real data must have those of every part, of the same images; where it
has masks and boxes alone, as CamVid, take segmentation_detection. Its trained baseline is what multi_task_quantized
takes as WEIGHTS=.

Measured 2026-11-28 on 2 cores, seed 0: baseline/litert_int8 scores 53.2 %, -0.11 (-0.37 to +0.16) points against
float, 3.9x smaller (300 test examples).
"""

from tfmo_drive.experiments.multi_task import TRAINING

from tfmo_drive.expect import Expect
from tfmo_drive.experiment import MEASURES, Experiment
from tfmo_drive.measures.robustness import Robustness
from tfmo_drive.measures.temporal import Temporal
from tfmo_drive.targets.litert import LiteRTFloat32, LiteRTInt8
from tfmo_drive.tasks.detection.detection import Detection
from tfmo_drive.tasks.lane_keeping.lane_keeping import LaneKeeping
from tfmo_drive.tasks.multi_task import MultiTask
from tfmo_drive.tasks.segmentation.segmentation import Segmentation

TASK = MultiTask(parts=(Segmentation(), Detection(), LaneKeeping()))

EXPERIMENT = Experiment(
    task=TASK,
    training=TRAINING,
    targets=(LiteRTFloat32(), LiteRTInt8()),
    measures=(*MEASURES, Robustness(), Temporal()),
    expect=Expect(worst_part_drop=0.02, size_ratio=0.3),
)
