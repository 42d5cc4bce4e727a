"""Finds cars, pedestrians and bicyclists by a ResNet50 with a feature pyramid; others start from this float detector.

make train-detection
make train-detection DATA=path/to/coco SET="task.image_size=96,128 task.weights=resnet50_notop.h5"

Its trained baseline, `runs/detection/stages/0_baseline/model.h5`, is what the other experiments take as WEIGHTS=.
"""

from tfmo_drive.experiments.detection import TRAINING

from tfmo_drive.expect import Expect
from tfmo_drive.experiment import MEASURES, Experiment
from tfmo_drive.measures.robustness import Robustness
from tfmo_drive.measures.temporal import Temporal
from tfmo_drive.targets.litert import LiteRTFloat32, LiteRTInt8
from tfmo_drive.tasks.detection.detection import Detection

EXPERIMENT = Experiment(
    task=Detection(),
    training=TRAINING,
    targets=(LiteRTFloat32(), LiteRTInt8()),
    measures=(*MEASURES, Robustness(), Temporal()),
    expect=Expect(score_drop=0.01, size_ratio=0.3),
)
