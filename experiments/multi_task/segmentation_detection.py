"""Gives masks and boxes by one ResNet50: one file, to be held against the two files of one head each.

make train-segmentation_detection
make train-segmentation_detection DATA=path/to/camvid SET="task.image_size=96,128 task.weights=resnet50_notop.h5"
"""

from tfmo_drive.expect import Expect
from tfmo_drive.experiment import MEASURES, Experiment
from tfmo_drive.steps.train import Train
from tfmo_drive.targets.litert import LiteRTFloat32, LiteRTInt8
from tfmo_drive.tasks.detection.detection import Detection
from tfmo_drive.tasks.multi_task import MultiTask
from tfmo_drive.tasks.segmentation.segmentation import Segmentation

EXPERIMENT = Experiment(
    task=MultiTask(parts=(Segmentation(), Detection())),
    training=Train(epochs=30, batch_size=16, learning_rate=0.02, warmup_epochs=1.0),
    targets=(LiteRTFloat32(), LiteRTInt8()),
    measures=MEASURES,
    expect=Expect(worst_part_drop=0.02, size_ratio=0.3),
)
