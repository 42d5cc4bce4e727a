"""Places what stands in a built-in driving scene, in metres, before anything is drawn.

A `Layout` holds the road, the camera and the things beside and on the road; `drawing` turns it into pixels and `light`
into a photograph. Geometry is the pinhole model over flat ground; the steering truth is pure pursuit (Coulter,
CMU-RI-TR-92-01, 1992): the arc that leads to a point of the own lane ahead.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

SIGNS = ("stop sign", "yield sign", "speed limit", "priority sign", "no entry sign", "crossing sign")
OBJECT_KINDS = ("car", "truck", "pedestrian", "cyclist", "traffic light", *SIGNS)
"""The kinds that a scene lists with their boxes; poles, trees and buildings are only background."""

EXTENT = {
    "car": (1.8, 1.6), "truck": (2.5, 3.5), "pedestrian": (0.8, 1.75), "cyclist": (1.7, 1.8), "tree": (5.0, 7.5),
    "pole": (2.6, 6.5), "traffic light": (0.6, 1.15), "building": (24.0, 14.0), **dict.fromkeys(SIGNS, (0.9, 0.9)),
}  # fmt: skip
"""Width and height in metres that no drawn thing of that kind exceeds by much; used to skip what is out of view."""

BASE = {"traffic light": 2.3, **dict.fromkeys(SIGNS, 1.75)}
"""Height of the lower edge above the ground in metres, where it is not 0."""

LENGTH = {"car": 4.2, "truck": 8.0, "building": 14.0}
"""The metres that a thing reaches behind its face, at most; its flank is in view when the face no longer is."""

NEAREST_M = 0.8
"""The metres from the camera's plane below which things are cut off."""
LOOKAHEAD_M = 12.0
"""The metres to the point of the own lane that is steered for."""
FULL_LOCK_CURVATURE = 0.05
"""1/m: the arc of 20 m radius counts as steering +-1, so that ordinary bends use the whole range."""
CHARACTERISTIC_SPEED = 22.0
"""m/s: the speed at which a car that understeers, as ordinary ones do, needs twice the steering of a standing start."""


@dataclasses.dataclass(frozen=True)
class Camera:
    """Describes a pinhole camera over flat ground."""

    focal: float
    """The focal length in pixels."""
    centre: float
    """The principal column, in pixels."""
    horizon: float
    """The row of the horizon, in pixels."""
    height: float
    """Metres above the ground."""

    def project(self, x: float, y: float, z: float) -> tuple[float, float]:
        """Projects metres (right, up, ahead) to pixels (column, row); z must be above 0."""
        scale = self.focal / z
        return self.centre + scale * x, self.horizon + scale * (self.height - y)

    def scaled(self, factor: float) -> Camera:
        """Returns the same view on an image `factor` times as large."""
        return Camera(self.focal * factor, self.centre * factor, self.horizon * factor, self.height)


@dataclasses.dataclass(frozen=True)
class Road:
    """Describes a bend of constant curvature, as the camera sees it."""

    curvature: float
    """1/m, positive to the right."""
    heading: float
    """Radians by which the road points right of the camera's axis."""
    offset: float
    """The camera's metres right of the own lane's centre."""
    lanes: int
    own_lane: int
    """The number of the camera's lane from the left, from 0."""
    lane_width: float
    """Metres."""
    pavement: float
    """The width of either pavement in metres; 0 in the country."""
    dash: float
    """Length of a dash in metres; the gap is as long again, and a half."""
    travelled: float = 0.0
    """Metres driven in a clip: dashes have come nearer by so much."""

    @property
    def left(self) -> float:
        """Returns the left edge in metres across from the own lane's centre."""
        return -(self.own_lane + 0.5) * self.lane_width

    @property
    def right(self) -> float:
        """Returns the right edge in metres across from the own lane's centre."""
        return self.left + self.lanes * self.lane_width

    def x(self, across: float, z: float) -> float:
        """Returns how many metres right of the camera a point lies.

        Args:
            across: The point's metres right of the own lane's centre.
            z: The point's metres ahead.
        """
        return across - self.offset + self.heading * z + self.curvature * z * z / 2

    def steering(self, speed: float = 0.0) -> float:
        """Returns the steering in [-1, 1], positive to the right, that leads to the own lane's centre ahead.

        A car that understeers needs more of it at a `speed` in m/s: twice as much at its characteristic speed
        (Gillespie, Fundamentals of Vehicle Dynamics, 1992, chapter 6).
        """
        curvature = 2 * self.x(0.0, LOOKAHEAD_M) / LOOKAHEAD_M**2
        needed = curvature * (1 + (speed / CHARACTERISTIC_SPEED) ** 2)
        return max(-1.0, min(1.0, needed / FULL_LOCK_CURVATURE))


@dataclasses.dataclass(frozen=True)
class Thing:
    """Describes one car, sign, tree, ...: metres across from the own lane's centre and ahead.

    `style` decides its looks.
    """

    kind: str
    across: float
    z: float
    style: tuple[float, ...]
    """Eight numbers in [0, 1): colour, size, pose, ..."""
    identity: int | None = None
    """The number of the thing in all frames of its clip."""


@dataclasses.dataclass(frozen=True)
class Layout:
    """Holds the geometry of one moment; a clip (clips) moves road and things, and draws again."""

    road: Road
    things: tuple[Thing, ...]
    city: bool
    horizon: float
    """Row of the horizon as a fraction of the image height."""
    camera_height: float
    clouds: tuple[tuple[float, float, float], ...]
    """Tangents right and up of the middle, and of the half width."""
    turned: float | None = None
    """Radians that the camera of a clip has turned to the right; None for a single frame."""

    def camera(self, height: int, width: int) -> Camera:
        """Returns a lens of about 60 degrees across for square images, wider for wide ones."""
        return Camera(0.85 * math.sqrt(height * width), width / 2, self.horizon * height, self.camera_height)

    def far_to_near(self) -> list[Thing]:
        """Returns the things in the order in which they hide one another.

        In a clip, what stands beside a building's flank, towards the road, comes after it. A single frame goes by the
        near faces alone: the pixels of its seeds are those of results that people have.
        """
        depth = LENGTH["building"] if self.turned is not None else 0.0
        return sorted(self.things, key=lambda thing: -thing.z - depth * (thing.kind == "building"))

    def side(self, thing: Thing) -> int:
        """Returns 1 for a thing right of the road (in a single frame, of the camera's axis), and -1 for one left."""
        return 1 if (thing.across if self.turned is not None else self.road.x(thing.across, thing.z)) > 0 else -1


@dataclasses.dataclass(frozen=True)
class _Place:
    kind: str
    mean: float
    """Expected count in a scene (Poisson)."""
    where: str
    near: float
    far: float


STRETCH_M = 90.0
"""Stretches of street put end to end so far apart make one street: buildings keep their distance of 15 m."""

_PLACES = (
    _Place("car", 2.6, "lane", 7, 70),
    _Place("truck", 0.7, "lane", 11, 70),
    _Place("cyclist", 0.8, "edge", 6, 40),
    _Place("pedestrian", 1.8, "pavement", 6, 45),
    _Place("pedestrian", 0.4, "crossing", 9, 35),
    _Place("traffic light", 0.7, "kerb", 10, 45),
    *(_Place(kind, 0.25, "kerb", 8, 50) for kind in SIGNS),
    _Place("pole", 2.5, "kerb", 6, 80),
    _Place("tree", 5.0, "roadside", 8, 90),
)


def sample_layout(generator: np.random.Generator) -> Layout:
    """Returns one random street; equal generators give equal streets."""
    u = generator.random(12)
    city = bool(u[0] < 0.6)
    lanes = 2 + int(u[1] < 0.4)
    road = Road(
        curvature=float((abs(2 * u[2] - 1) ** 1.5) * math.copysign(0.02, u[2] - 0.5)),
        heading=float(0.08 * (u[3] - 0.5)),
        offset=float(1.4 * (u[4] - 0.5)),
        lanes=lanes,
        own_lane=lanes - 1 if u[5] < 0.8 else 1,
        lane_width=float(3.2 + 0.5 * u[6]),
        pavement=float(2.0 + 2 * u[7]) if city else 0.0,
        dash=float(2 + 2 * u[8]),
    )
    things = place_things(generator, road, city)
    puffs = (generator.random((int(6 * u[11]), 3)) * (2.4, 0.45, 0.3) + (-1.2, 0.1, 0.08)).tolist()
    clouds = tuple((right, up, half) for right, up, half in puffs)
    return Layout(road, tuple(things), city, float(0.38 + 0.1 * u[9]), float(1.25 + 0.35 * u[10]), clouds)


def place_things(generator: np.random.Generator, road: Road, city: bool) -> list[Thing]:
    """Returns random things on `STRETCH_M` of street; each z is from the start of the stretch."""
    counts = generator.poisson([place.mean for place in _PLACES])
    rolls = generator.random((int(counts.sum()), 11)).tolist()
    things: list[Thing] = []
    for place, count in zip(_PLACES, counts, strict=True):
        for _ in range(count):
            roll = rolls.pop()
            z = place.near + (place.far - place.near) * roll[8] ** 1.4
            across = _across(place.where, road, roll[9], roll[10])
            if place.where == "lane" and any(
                abs(other.across - across) < 2 and abs(other.z - z) < 9 for other in things
            ):
                continue
            things.append(Thing(place.kind, across, z, tuple(roll[:8])))
    if city:
        things += _buildings(generator, road)
    return things


def _buildings(generator: np.random.Generator, road: Road) -> list[Thing]:
    rolls = generator.random((12, 10)).tolist()
    things = []
    for number, roll in enumerate(rolls):
        side = 1 if number % 2 else -1
        edge = (road.right if side > 0 else -road.left) + road.pavement + 1 + 5 * roll[8]
        if roll[9] < 0.85:
            things.append(Thing("building", side * edge, 6 + 15 * (number // 2) + 3 * roll[9], tuple(roll[:8])))
    return things


def _across(where: str, road: Road, first: float, second: float) -> float:
    """Returns metres across from the own lane's centre, from two random numbers."""
    side = road.right if first < 0.7 else road.left
    outward = 1 if first < 0.7 else -1
    match where:
        case "lane":
            lane = int(first * road.lanes)
            return road.left + (lane + 0.5) * road.lane_width + 0.5 * (second - 0.5)
        case "edge":
            return side - outward * (0.4 + 0.5 * second)
        case "crossing":
            return road.left + (road.right - road.left) * second
        case "kerb":
            return side + outward * (0.5 + 0.6 * second)
        case "pavement":
            return side + outward * (1.0 + second * max(1.5, road.pavement - 1))
        case _:
            return side + outward * (road.pavement + 2 + 14 * second)
