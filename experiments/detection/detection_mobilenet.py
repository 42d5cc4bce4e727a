"""Finds objects in photographs by MobileNetV2 and a fine grid of centres: some hundred labelled images are enough.

It starts from ImageNet weights, for so few images teach no backbone. Images are of 256 x 256 pixels, shown in sizes
from 0.6 to 1.4.

make train-detection_mobilenet DATA=path/to/voc SET="task.weights=mobilenetv2_notop.h5"
make train-detection_mobilenet DATA=path/to/yolo SET="task.weights=mobilenetv2_notop.h5 task.image_size=192,320"

Its trained baseline, `runs/detection_mobilenet/stages/0_baseline/model.h5`, is what `detection_mobilenet_channels`
takes as WEIGHTS=.

Measured 2026-12-01 on 2 cores, seed 0: baseline/litert_int8 scores 59.1 %, -0.45 (-1.92 to +0.40) points against
float, 3.6x smaller, 2.6x faster on 2 threads (175 test examples).
"""

from tfmo_drive.experiments.detection import MOBILENET, MOBILENET_TRAINING

from tfmo_drive.expect import Expect
from tfmo_drive.experiment import MEASURES, Experiment
from tfmo_drive.targets.litert import LiteRTFloat32, LiteRTInt8

EXPERIMENT = Experiment(
    task=MOBILENET,
    training=MOBILENET_TRAINING,
    targets=(LiteRTFloat32(), LiteRTInt8()),
    measures=MEASURES,
    expect=Expect(score_drop=0.01, size_ratio=0.3),
)
