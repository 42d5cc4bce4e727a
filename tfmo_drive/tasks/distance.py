"""Predicts how far away the nearest road user is, in metres, from one image: the example of a task of one number.

A camera on a car knows its height and its lens, so a road user's size and where it touches the road tell its distance
(Stein, Mano & Shashua 2003, "Vision-based ACC with a single camera").
"""

from __future__ import annotations

import dataclasses

from tfmo_drive.contracts import BadInput
from tfmo_drive.scenes.frames import nearest_road_user
from tfmo_drive.scenes.scenes import Scene
from tfmo_drive.tasks.number_task import NumberTask


@dataclasses.dataclass(frozen=True, kw_only=True)
class DistanceToObject(NumberTask):
    """Predicts the distance to the nearest road user; `farthest`, in metres, is the truth too where none is nearer.

    Example:
        >>> import tfmo_drive as td
        >>> td.DistanceToObject(image_size=(64, 96)).size
        (64, 96)
    """

    farthest: float = 60.0

    name, output_names, unit = "distance", ("distance",), "m"
    default_size = (64, 96)
    own_settings = ("farthest",)

    def __post_init__(self):
        super().__post_init__()
        if not 1 <= self.farthest <= 200:
            raise BadInput(f"DistanceToObject.farthest must be in 1..200 metres, got {self.farthest}.")

    def number(self, scene: Scene) -> float:
        return nearest_road_user(scene, self.farthest)
