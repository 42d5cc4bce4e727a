"""Holds the networks for images, one file each, which `--set=task.network=NAME` finds by their names (floor 2)."""

from tfmo_drive.networks.backbones.fast_scnn import FastSCNN
from tfmo_drive.networks.backbones.mobile_net import MobileNetV2, MobileNetV3
from tfmo_drive.networks.backbones.pilot_net import PilotNet
from tfmo_drive.networks.backbones.resnet import ResNet
from tfmo_drive.networks.backbones.small_cnn import SmallCNN
from tfmo_drive.networks.backbones.u_net import UNet

__all__ = ["FastSCNN", "MobileNetV2", "MobileNetV3", "PilotNet", "ResNet", "SmallCNN", "UNet"]
