"""Experiments on object detection; the float baselines of each backbone are trained alike."""

from tfmo_drive.data.augmentation import Augmentation
from tfmo_drive.networks.backbones import MobileNetV2
from tfmo_drive.steps.train import Train
from tfmo_drive.tasks.detection.detection import Detection

TRAINING = Train(epochs=60, batch_size=8, learning_rate=0.02, warmup_epochs=1.0)
"""How a float baseline of ResNet50 is trained where none is given."""
MOBILENET = Detection(
    image_size=(256, 256),
    network=MobileNetV2(),
    augmentation=Augmentation(flip=True, zoom=0.4, shift=0.15, shear_degrees=0.0),
)
MOBILENET_TRAINING = Train(
    epochs=30, batch_size=16, optimizer="adam", learning_rate=0.001, warmup_epochs=1.0, averaged_epochs=5
)
"""How a float baseline of MobileNetV2 is trained: some hundred photographs, from ImageNet weights."""
