"""Draws a `Layout` into a `Drawing`: ground, road and lane lines first, then every thing from far to near."""

from __future__ import annotations

import dataclasses

import numpy as np

from tfmo_drive.scenes.canvas import GROUND, SKY_DEPTH_M, SUPER, Canvas, Drawing
from tfmo_drive.scenes.layout import BASE, EXTENT, LENGTH, NEAREST_M, Camera, Layout, Road, Thing
from tfmo_drive.scenes.scenery import draw_building, draw_pole, draw_tree
from tfmo_drive.scenes.shapes import draw_object

FARTHEST_M = 220.0
LINE_M = 0.16
"""Width of a lane line (RMS, the German marking rule, has 0.12 m and 0.25 m)."""
_BACKGROUND = {"tree": draw_tree, "pole": draw_pole, "building": draw_building}


@dataclasses.dataclass(frozen=True)
class SceneObject:
    """Describes one road user, sign or light, and the exact truth of it."""

    kind: str
    box: tuple[float, float, float, float]
    """x0, y0, x1, y1 in pixels: the tight bounds of what is in the image, hidden parts included."""
    visible: float
    """Fraction in (0, 1] of the pixels in the image that nothing hides."""
    distance_m: float
    identity: int | None = None
    """The number of the thing in all frames of its clip; None in single frames."""


def draw_layout(layout: Layout, camera: Camera, height: int, width: int) -> tuple[Drawing, tuple[SceneObject, ...]]:
    """Draws what `camera` sees of a layout.

    Returns:
        The drawing, and its objects from far to near; the k-th of them (from 1) owns the pixels where `Drawing.owner`
            is k.
    """
    canvas = Canvas(camera, height, width)
    _ground(canvas, layout)
    outlines: list[tuple[Thing, tuple[float, float, float, float], int]] = []
    for thing in layout.far_to_near():
        x = layout.road.x(thing.across, thing.z)
        region = _region(canvas.camera, thing, x)
        if thing.z + LENGTH.get(thing.kind, 0.0) <= NEAREST_M or not canvas.sees(*region):
            continue
        if thing.kind in _BACKGROUND:
            _BACKGROUND[thing.kind](canvas, thing, x, layout.side(thing))
        elif len(outlines) < 255:
            oncoming = thing.across < -layout.road.lane_width * 0.6 and layout.road.own_lane > 0
            first = draw_object(canvas, thing, x, len(outlines) + 1, oncoming)
            outlines.append((thing, *_extent(canvas, first, region)))
    return _objects(canvas.finish(), outlines)


def looks_at(camera: Camera, thing: Thing, layout: Layout) -> tuple[float, float, float, float]:
    """Returns about where a thing appears: left, top, right, bottom in pixels of the camera's image."""
    return _region(camera, thing, layout.road.x(thing.across, thing.z))


def _region(camera: Camera, thing: Thing, x: float) -> tuple[float, float, float, float]:
    wide, high = EXTENT[thing.kind]
    base = BASE.get(thing.kind, 0.0)
    reach = 9.0 if thing.kind in ("car", "truck") else 0.0
    z = max(thing.z, NEAREST_M)
    far = camera.project(x, 0, z + reach)[0]
    left, bottom = camera.project(x - 0.6 * wide, 0.0, z)
    right, top = camera.project(x + 0.6 * wide, base + 1.15 * high, z)
    return min(left, far - right + left), top, max(right, far + right - left), bottom + 0.02 * (bottom - top)


def _extent(canvas: Canvas, first: int, region: tuple[float, float, float, float]) -> tuple:
    """Returns the box in image pixels and the pixel count of the object just drawn."""
    shape, left, top = canvas.silhouette(first, region)
    columns, rows = np.flatnonzero(shape.any(0)), np.flatnonzero(shape.any(1))
    if not len(columns):
        return (0.0, 0.0, 0.0, 0.0), 0
    box = (left + columns[0], top + rows[0], left + columns[-1] + 1, top + rows[-1] + 1)
    return tuple(float(edge) for edge in box), int(np.count_nonzero(shape))


def _objects(drawing: Drawing, outlines: list) -> tuple[Drawing, tuple[SceneObject, ...]]:
    """Leaves out what cannot be seen at all, and numbers the rest without gaps."""
    seen = np.bincount(drawing.owner.ravel(), minlength=len(outlines) + 1)[1:]
    numbers = np.concatenate([[0], np.cumsum(seen > 0) * (seen > 0)]).astype(np.uint8)
    drawing.owner = numbers[drawing.owner]
    objects = [
        SceneObject(thing.kind, box, float(pixels / whole), float(max(thing.z, NEAREST_M)), thing.identity)
        for (thing, box, whole), pixels in zip(outlines, seen, strict=True)
        if pixels
    ]
    return drawing, tuple(objects)


def _ground(canvas: Canvas, layout: Layout) -> None:
    """Draws hills, fields or paving, road, kerbs and lane lines."""
    camera, road = canvas.camera, layout.road
    bottom, right = canvas.height * SUPER, canvas.width * SUPER
    _clouds(canvas, layout)
    canvas.become("vegetation", 400.0, rough=0.1)
    if camera.horizon > 0 and not layout.city:
        passed, start = divmod(camera.focal * (layout.turned or 0.0), right / 12)
        shape = 2.1 * passed if layout.turned is not None else 40 * road.heading
        ridge = [(right * k / 12 - start, camera.horizon - camera.focal * 0.02 * (1 + np.sin(2.1 * k + shape)))
                 for k in range(14)]  # fmt: skip
        canvas.polygon([(-start, camera.horizon + 2), *ridge, (ridge[-1][0], camera.horizon + 2)], (96, 112, 92))
    if camera.horizon >= bottom:
        return
    canvas.become("pavement" if layout.city else "vegetation", GROUND, rough=0.07 if layout.city else 0.1)
    below = [(0, max(0, camera.horizon)), (right, max(0, camera.horizon)), (right, bottom), (0, bottom)]
    canvas.polygon(below, (138, 134, 128) if layout.city else (96, 122, 62))
    near = max(NEAREST_M, 0.9 * camera.focal * camera.height / (bottom - camera.horizon))
    far = FARTHEST_M if camera.horizon >= 0 else 1.1 * camera.focal * camera.height / -camera.horizon
    if near >= far:
        return
    zs = np.geomspace(near, min(far, FARTHEST_M), 20).tolist()
    if road.pavement:
        canvas.become("pavement", GROUND, rough=0.06)
        _strip(canvas, road, road.left - road.pavement, road.right + road.pavement, zs, (156, 152, 148))
        _strip(canvas, road, road.left - 0.2, road.right + 0.2, zs, (182, 180, 176))
    canvas.become("road", GROUND, rough=0.07)
    _strip(canvas, road, road.left, road.right, zs, (88, 89, 92))
    _lane_lines(canvas, road, zs)


def _clouds(canvas: Canvas, layout: Layout) -> None:
    """Draws clouds; the colour of a stroke of sky is what it adds to the sky."""
    camera = canvas.camera
    canvas.become("sky", SKY_DEPTH_M)
    for right, up, half in layout.clouds:
        x, y, size = camera.centre + right * camera.focal, camera.horizon - up * camera.focal, half * camera.focal
        for shift, lift, part in ((-0.5, 0.0, 0.5), (0.5, 0.0, 0.45), (0.0, 0.12, 0.6), (0.1, -0.05, 0.8)):
            shade = 26 + 18 * part
            centre = (x + shift * size, y - lift * size)
            canvas.ellipse(centre, (part * size, 0.3 * part * size), (shade, shade, shade))


def _strip(canvas: Canvas, road: Road, left: float, right: float, zs: list[float], colour: tuple) -> None:
    project = canvas.camera.project
    edge = [project(road.x(left, z), 0, z) for z in zs] + [project(road.x(right, z), 0, z) for z in reversed(zs)]
    canvas.polygon(edge, colour)


def _lane_lines(canvas: Canvas, road: Road, zs: list[float]) -> None:
    """Draws lines, solid at both edges and dashed between lanes, numbered from the left, from 1."""
    near, far = zs[0], min(zs[-1], 110.0)
    if near >= far:
        return
    solid = np.geomspace(near, far, 20).tolist()
    for number in range(road.lanes + 1):
        canvas.become("lane marking", GROUND, lane=number + 1, rough=0.04)
        inset = 0.2 if number == 0 else (-0.2 if number == road.lanes else 0.0)
        middle = road.left + number * road.lane_width + inset
        if number in (0, road.lanes):
            _strip(canvas, road, middle - LINE_M / 2, middle + LINE_M / 2, solid, (222, 222, 214))
            continue
        period = 2.5 * road.dash
        passed = road.travelled % period
        for k in range(int((near + passed) // period), int((min(far, 80.0) + passed) // period) + 1):
            start, end = max(near, k * period - passed), min(far, k * period - passed + road.dash)
            if start < end:
                dash = [start, (start + end) / 2, end]
                _strip(canvas, road, middle - LINE_M / 2, middle + LINE_M / 2, dash, (222, 222, 214))
