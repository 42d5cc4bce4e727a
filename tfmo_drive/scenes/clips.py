"""Generates moving built-in scenes, drives along one street, on which flicker and jitter are measured.

Every frame has its exact truth. The camera drives at a steady speed along a bend whose curvature swings slowly, and
sways within its lane. Stretches of street are put end to end; a thing is `place + (its pace - speed) * time` metres
ahead, so frame 400 does not need the 400 before it. Single frames (scenes) are drawn by the same code.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterator

import numpy as np

from tfmo_drive.contracts import BadInput
from tfmo_drive.scenes.layout import LENGTH, STRETCH_M, Layout, Road, Thing, place_things, sample_layout
from tfmo_drive.scenes.light import Conditions, sample_conditions
from tfmo_drive.scenes.scenes import SEVERITY, Scene, check_drawable, render

FRAMES_PER_SECOND = 10
CLIP_SEED = 0xC11
"""The seed of the streets on which files are measured, which are no streets of single frames."""
FAR_M = {"building": 300.0, "tree": 300.0}
"""The metres at which things appear, else OTHERS_FAR_M: of 96 rows a high house takes 4 there, a car 1."""
OTHERS_FAR_M = 120.0
_SIDEWAYS_MPS2 = 2.4
"""The largest acceleration in bends: what drivers accept at 10 m/s (side friction 0.24 g, AASHTO Green Book 2011)."""
_WALK_MPS, _RIDE_MPS = 1.3, 5.0
_STRIDE_M, _CRANK_M = 1.4, 5.5
"""The metres of two steps of a walker, and of one turn of a bicycle's pedals."""
_PER_STRETCH = 1000
"""A number larger than the count of things on a stretch of street."""


def clip(
    seed: int,
    number: int,
    frames: int,
    size: tuple[int, int],
    weather: str | None = None,
    time_of_day: str | None = None,
) -> Iterator[Scene]:
    """Yields `frames` scenes of clip `number` of the endless set `seed`, 1 / FRAMES_PER_SECOND s apart.

    Grain and rain are new in each frame, and frame i is the same however many are asked for. A thing keeps the
    `identity` of its SceneObject from frame to frame.

    Args:
        seed: The number of the set, at least 0.
        number: The number of the clip, at least 0.
        frames: The number of frames, at least 1.
        size: (height, width) in pixels, each at least 32.
        weather: One of WEATHERS for all frames; by default a random one.
        time_of_day: One of TIMES_OF_DAY for all frames; by default a random one.

    Raises:
        BadInput: The clip cannot be drawn; raised before the first frame.
    """
    check_drawable(seed, number, min(size), 32)
    if frames < 1:
        raise BadInput(f"A clip must have at least 1 frame, got {frames}.")
    drive = _sample_drive(seed, number)
    conditions = drive.conditions.asked(weather, time_of_day)
    return (
        render(
            drive.layout(frame / FRAMES_PER_SECOND), conditions, size, np.random.default_rng([seed, number, 3, frame])
        )
        for frame in range(frames)
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Winding(Road):
    """Describes a road whose curvature `z` metres ahead is bend * cos(turn + rate * z): one rigid street."""

    bend: float
    """The largest curvature, in 1/m."""
    turn: float
    """The phase at the camera, in radians."""
    rate: float
    """Radians per metre."""

    def x(self, across: float, z: float) -> float:
        """Returns metres right of the camera, as `Road.x` does, with the curvature integrated twice."""
        turned = (math.cos(self.turn) - math.cos(self.turn + self.rate * z)) / self.rate**2
        turned -= z * math.sin(self.turn) / self.rate
        return across - self.offset + self.heading * z + self.bend * turned


@dataclasses.dataclass(frozen=True)
class _Drive:
    """Describes a clip before it is drawn, as functions of time."""

    numbers: tuple[int, int]
    """Seed and number of the clip."""
    street: Layout
    """The street without things; its road is a _Winding, as at the start."""
    conditions: Conditions
    speed: float
    """The camera's speed in m/s."""
    sway: tuple[float, float, float]
    """Metres to either side, radians at the start, radians per metre."""
    paces: tuple[float, ...]
    """m/s of the traffic in each lane from the left, positive with us; that of our own lane is not used."""
    quiet: bool
    """Whether the street is quiet: nobody else drives and pedestrians cross; elsewhere they would be driven over."""

    def layout(self, seconds: float) -> Layout:
        """Returns the street as the camera sees it then."""
        start, travelled = self.street.road, self.speed * seconds
        aside, phase, waves = self.sway
        turn = start.turn + start.rate * travelled
        road = dataclasses.replace(
            start,
            turn=turn,
            curvature=start.bend * math.cos(turn),
            travelled=travelled,
            offset=aside * math.sin(phase + waves * travelled),
            # The camera looks where it goes, so the road points the other way.
            heading=-aside * waves * math.cos(phase + waves * travelled),
        )
        turned = start.bend / start.rate * (math.sin(turn) - math.sin(start.turn)) - road.heading
        # 1.6 to either side is out of view: clouds that leave on the left come back on the right.
        clouds = tuple(((right - turned + 1.6) % 3.2 - 1.6, up, half) for right, up, half in self.street.clouds)
        things = tuple(self._things(seconds))
        return dataclasses.replace(self.street, road=road, things=things, clouds=clouds, turned=turned)

    def _things(self, seconds: float) -> Iterator[Thing]:
        """Yields everything that is not yet behind, nor still too far away."""
        closing = [self.speed - pace for pace in (_RIDE_MPS, -_RIDE_MPS, *self.paces)]
        first = math.floor((min(closing) * seconds - LENGTH["building"]) / STRETCH_M) - 1
        last = math.floor((max(closing) * seconds + max(FAR_M.values())) / STRETCH_M)
        for stretch in (0, *range(max(first, 1), last + 1)):  # who drives ahead of us stays with us from the first
            for thing in _stretch(self.numbers, stretch, self.street.road, self.street.city):
                moved = self._moved(thing, seconds)
                if moved and -LENGTH.get(thing.kind, 0.0) < moved.z < FAR_M.get(thing.kind, OTHERS_FAR_M):
                    yield moved

    def _moved(self, thing: Thing, seconds: float) -> Thing | None:
        if thing.kind in ("car", "truck"):
            return None if self.quiet else self._driven(thing, seconds)
        if thing.kind == "cyclist":
            pace = math.copysign(_RIDE_MPS, thing.across)
            return _posed(self._ahead(thing, pace, seconds), {4: (thing.style[4] + _RIDE_MPS * seconds / _CRANK_M) % 1})
        if thing.kind == "pedestrian":
            if self.street.road.left < thing.across < self.street.road.right:
                return self._crossing(thing, seconds) if self.quiet else None
            pace = _WALK_MPS if thing.style[5] < 0.5 else -_WALK_MPS
            return _walking(self._ahead(thing, pace, seconds), _WALK_MPS * seconds)
        return self._ahead(thing, 0.0, seconds)

    def _ahead(self, thing: Thing, pace: float, seconds: float) -> Thing:
        return dataclasses.replace(thing, z=thing.z + (pace - self.speed) * seconds)

    def _driven(self, thing: Thing, seconds: float) -> Thing | None:
        """Returns the thing where it is then, or None where it is out of sight.

        There is one pace in each lane, so that nobody runs into anybody; the distances in our own lane vary together.
        """
        road = self.street.road
        lane = int((thing.across - road.left) / road.lane_width)
        if lane != road.own_lane:
            return self._ahead(thing, self.paces[lane], seconds)
        if thing.z > STRETCH_M:
            return None
        return dataclasses.replace(thing, z=thing.z * (1.2 - 0.2 * math.cos(2 * math.pi * seconds / 20)))

    def _crossing(self, thing: Thing, seconds: float) -> Thing:
        """Returns a pedestrian on the way from kerb to kerb, in time to let the camera pass 14 to 24 m later."""
        road, style = self.street.road, thing.style
        ahead = self._ahead(thing, 0.0, seconds)
        width = road.right - road.left + 2.4
        walked = width - _WALK_MPS * (ahead.z - 14 - 10 * style[6]) / self.speed
        walked = min(max(walked, 0.0), width)
        across = road.left - 1.2 + walked if style[5] < 0.5 else road.right + 1.2 - walked
        return _walking(dataclasses.replace(ahead, across=across), walked)


def _walking(thing: Thing, walked: float) -> Thing:
    phase = 2 * math.pi * (walked / _STRIDE_M + thing.style[3])
    return _posed(thing, {3: 0.5 + 0.49 * math.sin(phase), 4: 0.5 + 0.49 * math.cos(phase)})


def _posed(thing: Thing, changes: dict[int, float]) -> Thing:
    style = tuple(changes.get(place, roll) for place, roll in enumerate(thing.style))
    return dataclasses.replace(thing, style=style)


@functools.lru_cache(256)
def _stretch(numbers: tuple[int, int], stretch: int, road: Road, city: bool) -> tuple[Thing, ...]:
    """Returns the things of one stretch of the street at the start, `z` in metres from where the camera is then."""
    things = place_things(np.random.default_rng([*numbers, 2, stretch]), road, city)
    return tuple(
        dataclasses.replace(
            _out_of_the_way(thing, road, city), z=thing.z + STRETCH_M * stretch, identity=_PER_STRETCH * stretch + place
        )
        for place, thing in enumerate(things)
    )


def _out_of_the_way(thing: Thing, road: Road, city: bool) -> Thing:
    """Returns the thing where the camera can pass.

    Cyclists ride beside the road, turned along it; street trees stand before the houses.
    """
    edge, outward = (road.right, 1) if thing.across > 0 else (road.left, -1)
    if thing.kind == "cyclist":
        beside = dataclasses.replace(thing, across=edge + 0.4 * (edge - thing.across))
        return _posed(beside, {1: 0.25 * thing.style[1]})
    if thing.kind == "tree" and city:
        return dataclasses.replace(thing, across=edge + outward * (road.pavement + 0.3))
    return thing


def _sample_drive(seed: int, number: int) -> _Drive:
    generator = np.random.default_rng([seed, number, 1])
    layout = sample_layout(generator)
    conditions = sample_conditions(generator, SEVERITY)
    u = generator.random(12 + layout.road.lanes).tolist()
    straightening = 0.012 * (2 * u[0] - 1)
    bend = max(1e-4, math.hypot(layout.road.curvature, straightening))
    road = _Winding(
        **dataclasses.asdict(layout.road),
        bend=bend,
        turn=math.atan2(-straightening, layout.road.curvature),
        rate=2 * math.pi / (150 + 150 * u[1]),
    )
    speed = min(8 + 6 * u[2], math.sqrt(_SIDEWAYS_MPS2 / bend))
    own = road.own_lane
    paces = [speed * (0.5 + 0.3 * roll) if lane > own else -(8 + 6 * roll) for lane, roll in enumerate(u[12:])]
    return _Drive(
        numbers=(seed, number),
        street=dataclasses.replace(layout, road=road, things=()),
        conditions=dataclasses.replace(conditions, lightness=u[3]),
        speed=speed,
        sway=(0.15 + 0.25 * u[4], 2 * math.pi * u[5], 2 * math.pi / (50 + 40 * u[6])),
        paces=tuple(paces),
        quiet=u[7] < 0.3,
    )
