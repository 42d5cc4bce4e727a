"""Trains segmentation under fake quantisation, then int8, beside post-training int8 and longer float training.

make train-segmentation_quantized
make train-segmentation_quantized DATA=path/to/camvid WEIGHTS=runs/segmentation/stages/0_baseline/model.h5
"""

from tfmo_drive.experiments.segmentation import TRAINING

from tfmo_drive.expect import Expect
from tfmo_drive.experiment import MEASURES, Experiment
from tfmo_drive.measures.robustness import Robustness
from tfmo_drive.measures.temporal import Temporal
from tfmo_drive.steps.quantize_aware import QuantizeAware
from tfmo_drive.steps.train import Train
from tfmo_drive.targets.litert import LiteRTInt8
from tfmo_drive.tasks.segmentation.segmentation import Segmentation
from tfmo_drive.training.distillation import SoftLabels

TUNED = {"epochs": 4, "batch_size": 16, "learning_rate": 0.002}

EXPERIMENT = Experiment(
    task=Segmentation(),
    training=TRAINING,
    recipe=(QuantizeAware(**TUNED, distill=SoftLabels(alpha=0.5, temperature=1.0, augmented_copies=4)),),
    controls={"longer_training": (Train(**TUNED),)},
    targets=(LiteRTInt8(),),
    measures=(*MEASURES, Robustness(), Temporal()),
    expect=Expect(score_drop=0.01, size_ratio=0.3),
)
