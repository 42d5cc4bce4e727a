"""Predicts the throttle that a driver gives: beside lane_keeping the other half of a pilot, as MultiTask trains it.

donkeycar's pilots answer angle and throttle of one image (github.com/autorope/donkeycar, donkeycar/parts/keras.py).
"""

from __future__ import annotations

import dataclasses

from tfmo_drive.base import faults
from tfmo_drive.contracts import BadInput
from tfmo_drive.data.layouts.steering_log import list_log
from tfmo_drive.data.splitting import Listing
from tfmo_drive.scenes.frames import nearest_road_user
from tfmo_drive.scenes.scenes import Scene
from tfmo_drive.tasks.number_task import NumberTask


@dataclasses.dataclass(frozen=True, kw_only=True)
class Throttle(NumberTask):
    """Predicts the throttle, a share of full throttle in -1..1 (below 0: backwards or braking).

    Real `data` is a driving log or a donkeycar tub, listed frame by frame as lane keeping lists it. In a built-in scene
    it is the distance to the nearest road user as a share of `farthest`, in metres: who drives slows down.

    Example:
        >>> import tfmo_drive as td
        >>> td.MultiTask(parts=(td.LaneKeeping(), td.Throttle())).output_names
        ('steering', 'throttle')
    """

    farthest: float = 60.0

    name, output_names, unit = "throttle", ("throttle",), "of full throttle"
    own_settings = ("farthest",)

    def __post_init__(self):
        super().__post_init__()
        if not 1 <= self.farthest <= 200:
            raise BadInput(f"Throttle.farthest must be in 1..200 metres, got {self.farthest}.")
        if self.columns.group:
            raise BadInput(f"Throttle.columns.group is no column of a log, got {self.columns.group!r}. Leave it out.")

    @faults.noting
    def listing(self) -> Listing:
        asked = {"file": self.columns.file, "throttle": self.columns.number, "split": self.columns.split}
        columns = {kind: name for kind, name in asked.items() if name}
        return list_log(self.data, columns, 1.0, self.split_seed, self.skip_bad, ("throttle",))

    def number(self, scene: Scene) -> float:
        return nearest_road_user(scene, self.farthest) / self.farthest
