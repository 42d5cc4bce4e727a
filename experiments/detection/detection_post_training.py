"""Converts a detector to int8 without training, boxes and scores apart, beside the naive export that joins them.

`decoded_inside` puts the decoding into the graph and both into one output, as many exporters do. In float it says the
same; in int8 boxes and scores share one scale, and the detector sees nothing.

make train-detection_post_training
make train-detection_post_training DATA=path/to/coco WEIGHTS=runs/detection/stages/0_baseline/model.h5

Measured 2026-11-28 on 2 cores, seed 0: baseline/litert_int8 scores 18.3 %, -0.28 (-0.90 to +0.38) points against
float, 3.9x smaller (101 test examples).
"""

from tfmo_drive.experiments.detection import TRAINING

from tfmo_drive.expect import Expect
from tfmo_drive.experiment import MEASURES, Experiment
from tfmo_drive.measures.robustness import Robustness
from tfmo_drive.measures.temporal import Temporal
from tfmo_drive.steps.spoilers.decode_inside import DecodeInside
from tfmo_drive.targets.litert import LiteRTFloat32, LiteRTInt8
from tfmo_drive.tasks.detection.detection import Detection

EXPERIMENT = Experiment(
    task=Detection(),
    training=TRAINING,
    controls={"decoded_inside": (DecodeInside(),)},
    targets=(LiteRTFloat32(), LiteRTInt8()),
    measures=(*MEASURES, Robustness(), Temporal()),
    expect=Expect(target="litert_int8", score_drop=0.01, size_ratio=0.3),  # which is what the report is about
)
