"""Trains the network of several tasks under fake quantisation, taught by its float self, then int8.

make train-multi_task_quantized
make train-multi_task_quantized WEIGHTS=runs/multi_task/stages/0_baseline/model.h5
"""

from tfmo_drive.experiments.multi_task import TRAINING

from tfmo_drive.expect import Expect
from tfmo_drive.experiment import MEASURES, Experiment
from tfmo_drive.measures.robustness import Robustness
from tfmo_drive.measures.temporal import Temporal
from tfmo_drive.steps.quantize_aware import QuantizeAware
from tfmo_drive.steps.train import Train
from tfmo_drive.targets.litert import LiteRTInt8
from tfmo_drive.tasks.detection.detection import Detection
from tfmo_drive.tasks.lane_keeping.lane_keeping import LaneKeeping
from tfmo_drive.tasks.multi_task import MultiTask
from tfmo_drive.tasks.segmentation.segmentation import Segmentation
from tfmo_drive.training.distillation import SoftLabels

TASK = MultiTask(parts=(Segmentation(), Detection(), LaneKeeping()))
TUNED = {"epochs": 4, "batch_size": 16, "learning_rate": 0.002}

EXPERIMENT = Experiment(
    task=TASK,
    training=TRAINING,
    recipe=(QuantizeAware(**TUNED, distill=SoftLabels(alpha=0.5, temperature=1.0, augmented_copies=4)),),
    controls={"longer_training": (Train(**TUNED),)},
    targets=(LiteRTInt8(),),
    measures=(*MEASURES, Robustness(), Temporal()),
    expect=Expect(worst_part_drop=0.02, size_ratio=0.3),
)
