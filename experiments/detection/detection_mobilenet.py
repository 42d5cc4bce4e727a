"""Finds objects in photographs by MobileNetV2 and a fine grid of centres: some hundred labelled images are enough.

It starts from ImageNet weights, for so few images teach no backbone. Images are of 256 x 256 pixels, shown in sizes
from 0.6 to 1.4.

make train-detection_mobilenet DATA=path/to/voc SET="task.weights=mobilenetv2_notop.h5"
make train-detection_mobilenet DATA=path/to/yolo SET="task.weights=mobilenetv2_notop.h5 task.augmentation.mosaic=0.5"
"""

from tfmo_drive.data.augmentation import Augmentation
from tfmo_drive.expect import Expect
from tfmo_drive.experiment import MEASURES, Experiment
from tfmo_drive.networks.backbones import MobileNetV2
from tfmo_drive.steps.train import Train
from tfmo_drive.targets.litert import LiteRTFloat32, LiteRTInt8
from tfmo_drive.tasks.detection.detection import Detection

EXPERIMENT = Experiment(
    task=Detection(
        image_size=(256, 256),
        network=MobileNetV2(),
        augmentation=Augmentation(flip=True, zoom=0.4, shift=0.15, shear_degrees=0.0),
    ),
    training=Train(
        epochs=30, batch_size=16, optimizer="adam", learning_rate=0.001, warmup_epochs=1.0, averaged_epochs=5
    ),
    targets=(LiteRTFloat32(), LiteRTInt8()),
    measures=MEASURES,
    expect=Expect(score_drop=0.01, size_ratio=0.3),
)
