"""Draws what lines the road of a built-in scene: trees, street lamps and buildings, from a few numbers in [0, 1)."""

from __future__ import annotations

from tfmo_drive.scenes.canvas import Canvas
from tfmo_drive.scenes.layout import NEAREST_M, Thing
from tfmo_drive.scenes.shapes import STEEL, Pen, pick

GREENS = ((58, 92, 42), (76, 108, 48), (44, 80, 50), (104, 112, 46), (138, 104, 40))
WALLS = ((166, 150, 132), (150, 92, 74), (190, 182, 168), (120, 122, 126), (198, 170, 122), (136, 140, 150))


def draw_tree(canvas: Canvas, thing: Thing, x: float, side: int) -> None:
    """Draws a trunk and a crown of a few round masses, 4 to 7 m high."""
    pen, style = Pen(canvas, x, thing.z), thing.style
    canvas.become("vegetation", thing.z, rough=0.22)
    size = 0.7 + 0.5 * style[0]
    pen.rectangle((-0.16, 0, 0.16, 3 * size), (84, 66, 50))
    masses = ((-0.9, 3.6, 1.2), (0.9, 3.4, 1.3), (0.1, 4.6, 1.4), (-0.2, 3.3, 1.2), (0.5, 4.2, 0.9))
    for number, (right, up, radius) in enumerate(masses):
        leaves = pick(GREENS, style[1], 0.75 + 0.12 * number)
        pen.disc(right * size + style[2 + number] - 0.5, up * size, radius * size, leaves)


def draw_pole(canvas: Canvas, thing: Thing, x: float, side: int) -> None:
    """Draws a street lamp with its arm over the road, which is on its left where `side` is 1."""
    pen = Pen(canvas, x, thing.z)
    canvas.become("pole", thing.z)
    arm = -1.2 * side
    pen.rectangle((-0.08, 0, 0.08, 6.0), pick((STEEL, (92, 96, 98), (70, 78, 74)), thing.style[0]))
    pen.line(((0, 5.95), (arm, 6.1)), 0.1, STEEL)
    pen.rectangle((min(arm, arm * 0.6), 6.0, max(arm, arm * 0.6), 6.14), (255, 226, 170), 0.6)


def draw_building(canvas: Canvas, thing: Thing, x: float, side: int) -> None:
    """Draws a block 6 to 14 m high with rows of windows, its long face towards the road.

    Windows are bands of glass across a whole face, then piers of wall over them: rows + columns of strokes instead of
    rows x columns. A flank that is turned away from the camera (in a bend) is left out.
    """
    pen, style = Pen(canvas, x, thing.z), thing.style
    wide, deep, high = 8 + 6 * style[0], 10 + 4 * style[1], 6 + 8 * style[2]
    wall, flank = pick(WALLS, style[3], 0.85 + 0.25 * style[4]), pick(WALLS, style[3], 0.68 + 0.2 * style[4])
    glass, glow = ((236, 206, 140), 0.35) if style[5] < 0.4 else ((62, 74, 88), 0.0)
    canvas.become("building", max(thing.z + deep / 2, NEAREST_M), rough=0.05)
    _faces(pen, (0, deep), side * wide, (0, high), (flank, wall))
    for floor in range(int((high - 1.6) / 2.9) + 1):
        bottom = 1.0 + 2.9 * floor
        _faces(pen, (0.6, deep - 0.6), side * (wide - 0.6), (bottom, bottom + 1.3), (glass, glass), glow)
    for pier in range(int(deep / 2.2) + 1):
        start, end = 0.6 + 2.2 * pier, min(deep, 1.5 + 2.2 * pier)
        if start < deep and side * x > 0:
            pen.side(0, ((start, 0), (end, 0), (end, high), (start, high)), flank)
        if start < wide:
            pen.rectangle((side * start, 0, side * min(wide, 1.5 + 2.2 * pier), high), wall)


def _faces(
    pen: Pen,
    along: tuple[float, float],
    across: float,
    up: tuple[float, float],
    colours: tuple[tuple[float, float, float], tuple[float, float, float]],
    glow: float = 0.0,
) -> None:
    """Draws one rectangle on the flank (along the road) and one on the front (across it), at the same heights."""
    (start, end), (bottom, top) = along, up
    if across * pen.x > 0:
        pen.side(0, ((start, bottom), (end, bottom), (end, top), (start, top)), colours[0], glow)
    pen.rectangle((start * (1 if across > 0 else -1), bottom, across, top), colours[1], glow)
