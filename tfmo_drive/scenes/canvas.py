"""Draws on a canvas of one integer per pixel: the number of the stroke on top.

Colour, class, object and depth are tables of strokes. So whatever a pixel looks like and whatever the truth says of it
come from the same stroke, and later strokes hide earlier ones exactly (painter's algorithm). Colours are drawn at twice
the resolution and averaged (anti-aliasing); the truth is every second pixel of the same drawing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from tfmo_drive.scenes.layout import Camera

Colour = tuple[float, float, float]
Point = tuple[float, float]

SEMANTIC_CLASSES = (
    "sky", "building", "vegetation", "road", "lane marking", "pavement", "pole", "vehicle", "pedestrian", "cyclist",
    "sign", "traffic light",
)  # fmt: skip
SUPER = 2
SKY_DEPTH_M = 1e4
GROUND = 0.0
"""The depth of strokes on the flat ground, whose distance follows from the row."""


class Canvas:
    """Collects strokes over one view; `become` says what the next strokes belong to."""

    def __init__(self, camera: Camera, height: int, width: int) -> None:
        """Makes an empty canvas.

        Args:
            camera: The camera of the finished image.
            height: The finished image's height in pixels.
            width: The finished image's width in pixels.
        """
        self.height, self.width, self.view = height, width, camera
        self.camera = camera.scaled(SUPER)
        self._image = Image.new("I", (width * SUPER, height * SUPER))
        self._draw = ImageDraw.Draw(self._image)
        self._rows: list[tuple[float, ...]] = []
        self._owner: tuple[float, ...] = ()
        self.become("sky", SKY_DEPTH_M)
        self._ink((0, 0, 0), 0.0)

    def become(self, semantic: str, depth: float, owner: int = 0, lane: int = 0, rough: float = 0.0) -> int:
        """Sets what the next strokes belong to, and returns the number that the next stroke will have.

        Args:
            semantic: One of SEMANTIC_CLASSES.
            depth: Metres ahead of the camera; GROUND lets it follow from the row.
            owner: The object's number, 0 for none.
            lane: The lane line's number, 0 for none.
            rough: The roughness of the surface, in [0, 1].
        """
        self._owner = (depth, rough, SEMANTIC_CLASSES.index(semantic), owner, lane)
        return len(self._rows)

    def _ink(self, colour: Colour, glow: float) -> int:
        self._rows.append((*colour, 255 * glow, *self._owner))
        return len(self._rows) - 1

    def polygon(self, points: Sequence[Point], colour: Colour, glow: float = 0.0) -> None:
        """Fills a polygon.

        Args:
            points: The corners in pixels of the doubled canvas.
            colour: RGB in 0..255.
            glow: Light of its own, in [0, 1].
        """
        self._draw.polygon(points, fill=self._ink(colour, glow))

    def ellipse(self, centre: Point, radius: Point, colour: Colour, glow: float = 0.0, ring: float = 0.0) -> None:
        """Fills an ellipse, or its outer `ring` pixels alone; nothing is drawn where it lies wholly outside."""
        (x, y), (rx, ry) = centre, radius
        if x + rx < 0 or y + ry < 0 or x - rx > self.width * SUPER or y - ry > self.height * SUPER:
            return
        ink = self._ink(colour, glow)
        box = (x - rx, y - ry, x + rx, y + ry)
        if ring:
            self._draw.ellipse(box, outline=ink, width=max(1, round(ring)))
        else:
            self._draw.ellipse(box, fill=ink)

    def line(self, points: Sequence[Point], width: float, colour: Colour, glow: float = 0.0) -> None:
        """Draws a polyline, at least one pixel wide."""
        self._draw.line(points, fill=self._ink(colour, glow), width=max(1, round(width)))

    def sees(self, left: float, top: float, right: float, bottom: float) -> bool:
        """Says whether a rectangle of the doubled canvas touches it."""
        return right >= 0 and bottom >= 0 and left <= self.width * SUPER and top <= self.height * SUPER

    def silhouette(self, first: int, region: tuple[float, float, float, float]) -> tuple[np.ndarray, int, int]:
        """Returns where strokes from number `first` on lie on top now.

        Args:
            first: The number of the first stroke that counts.
            region: Left, top, right and bottom, in pixels of the doubled canvas, of a rectangle that holds all of those
                strokes.

        Returns:
            bool [h, w] of a part of the image's pixels, the part's left column and its top row.
        """
        left, top = max(0, int(region[0]) // SUPER - 1), max(0, int(region[1]) // SUPER - 1)
        right = min(self.width, int(region[2]) // SUPER + 2)
        bottom = min(self.height, int(region[3]) // SUPER + 2)
        if right <= left or bottom <= top:
            return np.zeros((0, 0), bool), 0, 0
        part = self._image.crop((left * SUPER, top * SUPER, right * SUPER, bottom * SUPER))
        return np.asarray(part)[::SUPER, ::SUPER] >= first, left, top

    def finish(self) -> Drawing:
        """Returns the drawing, in which the tables of strokes are applied to every pixel."""
        return Drawing(np.asarray(self._image), np.array(self._rows, np.float32), self.view)


def cut_off(corners: Sequence[tuple[float, float, float]], nearest: float) -> list[tuple[float, ...]]:
    """Returns the part of a polygon whose third coordinate is at least `nearest` (Sutherland & Hodgman 1974)."""
    kept: list[tuple[float, ...]] = []
    for start, end in zip([corners[-1], *corners[:-1]], corners, strict=True):
        if (start[2] < nearest) != (end[2] < nearest):
            part = (nearest - start[2]) / (end[2] - start[2])
            kept.append(tuple(a + part * (b - a) for a, b in zip(start, end, strict=True)))
        if end[2] >= nearest:
            kept.append(end)
    return kept


class Drawing:
    """Holds a finished canvas: surfaces before light and weather, and the truth, all [h, w, ...] of the image.

    float32: colour (RGB 0..255, black where `sky` shows), glow, sky (fraction of the pixel), cloud (grey levels that it
    adds to the sky), rough, depth (m). uint8: semantic, owner (object number), lane (line number).
    """

    def __init__(self, strokes: np.ndarray, rows: np.ndarray, camera: Camera) -> None:
        self.camera = camera
        open_sky = rows[:, 4] == SKY_DEPTH_M
        colours = np.concatenate([np.where(open_sky[:, None], 0, rows[:, :4]), 255 * open_sky[:, None]], axis=1)
        fine = colours.clip(0, 255).astype(np.uint8)[strokes]
        mean = sum(fine[i::SUPER, j::SUPER].astype(np.float32) for i in range(SUPER) for j in range(SUPER)) / SUPER**2
        self.colour, self.glow, self.sky = mean[..., :3], mean[..., 3] / 255, mean[..., 4] / 255
        coarse = strokes[::SUPER, ::SUPER]
        self.cloud = np.where(open_sky, rows[:, 0], 0)[coarse]
        self.rough = rows[:, 5][coarse]
        self.semantic = rows[:, 6].astype(np.uint8)[coarse]
        self.owner = rows[:, 7].astype(np.uint8)[coarse]
        self.lane = rows[:, 8].astype(np.uint8)[coarse]
        below = np.arange(len(coarse), dtype=np.float32)[:, None] + 0.5 - camera.horizon
        ground = camera.focal * camera.height / np.maximum(below, 0.01 * camera.focal)
        depth = rows[:, 4][coarse]
        # Edges against the sky are as far as what stands there, or fog would leave them dark.
        y, x = np.nonzero((depth == SKY_DEPTH_M) & (self.sky < 1))
        depth[y, x] = rows[:, 4][strokes.reshape(len(coarse), SUPER, -1, SUPER)[y, :, x]].min(axis=(1, 2))
        self.depth = np.where(depth == GROUND, ground, depth)
