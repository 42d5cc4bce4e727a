"""Holds the detectors, one file each: how a network ends, what it learns, and how its answers become boxes."""

from tfmo_drive.networks.detectors.centres import Centres
from tfmo_drive.networks.detectors.ssd import SSD

__all__ = ["SSD", "Centres"]
