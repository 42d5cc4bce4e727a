"""Gives every pixel a class by a ResNet50 with a feature pyramid; others start from this float network.

make train-segmentation
make train-segmentation DATA=path/to/camvid SET="task.image_size=96,128 task.weights=resnet50_notop.h5"
make train-segmentation SET=task.shown=lanes WORKDIR=runs/lane_lines
make train-segmentation DATA=path/to/tusimple SET="task.network=MobileNetV2 task.weights=mobilenetv2_notop.h5
    task.image_size=128,224 training.optimizer=adam training.learning_rate=0.002 training.batch_size=4
    training.epochs=100"

The last command is for a few frames: lanes are thin, and pretrained weights keep them free of specks, which
count as false lanes.

Its trained baseline, `runs/segmentation/stages/0_baseline/model.h5`, is what the other experiments take as WEIGHTS=.

Measured 2026-11-28 on 2 cores, seed 0: baseline/litert_int8 scores 58.2 %, -0.48 (-0.60 to -0.36) points against
float, 3.9x smaller (300 test examples).
"""

from tfmo_drive.experiments.segmentation import TRAINING

from tfmo_drive.expect import Expect
from tfmo_drive.experiment import MEASURES, Experiment
from tfmo_drive.measures.robustness import Robustness
from tfmo_drive.measures.temporal import Temporal
from tfmo_drive.targets.litert import LiteRTFloat32, LiteRTInt8
from tfmo_drive.tasks.segmentation.segmentation import Segmentation

EXPERIMENT = Experiment(
    task=Segmentation(),
    training=TRAINING,
    targets=(LiteRTFloat32(), LiteRTInt8()),
    measures=(*MEASURES, Robustness(), Temporal()),
    expect=Expect(score_drop=0.01, size_ratio=0.3),
)
