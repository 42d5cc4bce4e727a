"""Trains steering under fake quantisation, then int8, beside post-training int8 and longer float training.

make train-lane_quantized
make train-lane_quantized DATA=path/to/driving_log WEIGHTS=runs/lane/stages/0_baseline/model.h5
"""

from tfmo_drive.experiments.lane_keeping import TRAINING

from tfmo_drive.expect import Expect
from tfmo_drive.experiment import MEASURES, Experiment
from tfmo_drive.measures.robustness import Robustness
from tfmo_drive.measures.temporal import Temporal
from tfmo_drive.steps.quantize_aware import QuantizeAware
from tfmo_drive.steps.train import Train
from tfmo_drive.targets.litert import LiteRTInt8
from tfmo_drive.tasks.lane_keeping.lane_keeping import LaneKeeping

TUNED = {"epochs": 4, "batch_size": 32, "learning_rate": 0.002}

EXPERIMENT = Experiment(
    task=LaneKeeping(),
    training=TRAINING,
    recipe=(QuantizeAware(**TUNED),),
    controls={"longer_training": (Train(**TUNED),)},
    targets=(LiteRTInt8(),),
    measures=(*MEASURES, Robustness(), Temporal()),
    expect=Expect(error_ratio=1.03, size_ratio=0.3),
)
