"""Draws road users, signs and lights of a built-in scene from a few numbers in [0, 1).

Every function draws one `Thing` with a `Pen`, in metres from the middle of its foot. Signs follow the Vienna Convention
on Road Signs and Signals (1968): red octagon, downward triangle, red ring with a number, yellow diamond.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from tfmo_drive.scenes.canvas import GROUND, Canvas, Colour, Point, cut_off
from tfmo_drive.scenes.layout import BASE, EXTENT, NEAREST_M, SIGNS, Thing

RED, WHITE, BLACK, YELLOW = (196, 24, 34), (238, 238, 234), (22, 22, 24), (246, 196, 30)
DARK, GLASS, TYRE, STEEL = (44, 46, 52), (52, 66, 80), (24, 24, 26), (128, 132, 136)
PAINTS = (
    (226, 228, 230), (30, 32, 36), (112, 118, 124), (176, 182, 188), (168, 26, 32), (30, 62, 138), (24, 92, 66),
    (206, 190, 158), (232, 176, 36), (86, 26, 40), (72, 132, 190), (60, 66, 74),
)  # fmt: skip
CLOTHES = (
    (34, 38, 60), (150, 40, 44), (38, 40, 42), (56, 96, 150), (196, 190, 176), (62, 92, 58), (214, 150, 40),
    (120, 74, 130), (96, 78, 60), (228, 228, 226),
)  # fmt: skip
SKIN = ((236, 196, 166), (200, 150, 116), (142, 98, 70), (92, 62, 46))
GLYPHS = {  # polylines on a grid 2 wide and 4 high, origin at the lower left
    "0": [[(0, 0), (2, 0), (2, 4), (0, 4), (0, 0)]], "1": [[(1, 0), (1, 4), (0, 3)]],
    "2": [[(2, 0), (0, 0), (2, 2.6), (2, 4), (0, 4)]], "3": [[(0, 0), (2, 0), (2, 4), (0, 4)], [(0.6, 2), (2, 2)]],
    "5": [[(0, 0), (2, 0), (2, 2.3), (0, 2.3), (0, 4), (2, 4)]], "7": [[(0.6, 0), (2, 4), (0, 4)]],
    "8": [[(0, 0), (2, 0), (2, 4), (0, 4), (0, 0)], [(0, 2), (2, 2)]],
    "S": [[(0, 0), (2, 0), (2, 2), (0, 2), (0, 4), (2, 4)]], "T": [[(1, 0), (1, 4)], [(0, 4), (2, 4)]],
    "O": [[(0, 0), (2, 0), (2, 4), (0, 4), (0, 0)]], "P": [[(0, 0), (0, 4), (2, 4), (2, 2), (0, 2)]],
}  # fmt: skip


def pick(choices: Sequence[Colour], roll: float, shade: float = 1.0) -> Colour:
    """Returns one of the colours for a random number `roll` in [0, 1), times `shade`."""
    red, green, blue = choices[int(roll * len(choices))]
    return red * shade, green * shade, blue * shade


class Pen:
    """Draws in metres (right, up) around the foot of a thing at `x`, `z`; `squeeze` narrows what is turned away.

    Where a thing's face is behind the camera, only flanks and shadow are drawn, as far as they are before it.
    """

    def __init__(self, canvas: Canvas, x: float, z: float, lift: float = 0.0, squeeze: float = 1.0) -> None:
        self.canvas, self.x, self.z, self.lift, self.squeeze = canvas, x, z, lift, squeeze
        self.scale = canvas.camera.focal / max(z, NEAREST_M)

    def at(self, x: float, y: float, further: float = 0.0) -> Point:
        """Converts metres right, up and further away into pixels of the doubled canvas."""
        return self.canvas.camera.project(self.x + x * self.squeeze, self.lift + y, self.z + further)

    def polygon(self, points: Sequence[Point], colour: Colour, glow: float = 0.0) -> None:
        """Fills a polygon whose corners are in metres."""
        if self.z > NEAREST_M:
            self.canvas.polygon([self.at(x, y) for x, y in points], colour, glow)

    def rectangle(self, edges: tuple[float, float, float, float], colour: Colour, glow: float = 0.0) -> None:
        """Fills a rectangle; its edges are left, bottom, right and top in metres."""
        left, bottom, right, top = edges
        self.polygon(((left, bottom), (right, bottom), (right, top), (left, top)), colour, glow)

    def disc(self, x: float, y: float, radius: float, colour: Colour, glow: float = 0.0) -> None:
        """Fills a disc whose radius is in metres."""
        size = self.scale * radius
        self.canvas.ellipse(self.at(x, y), (size * self.squeeze, size), colour, glow)

    def line(self, points: Sequence[Point], width: float, colour: Colour) -> None:
        """Draws a polyline; corners and width are in metres."""
        if self.z > NEAREST_M:
            self.canvas.line([self.at(x, y) for x, y in points], width * self.scale, colour)

    def side(self, inner: float, profile: Sequence[Point], colour: Colour, glow: float = 0.0) -> None:
        """Fills a part of the flank `inner` metres to the right; corners are (metres further away, metres up)."""
        self.lying([(inner, y, further) for further, y in profile], colour, glow)

    def lying(self, corners: Sequence[tuple[float, float, float]], colour: Colour, glow: float = 0.0) -> None:
        """Fills a plane that reaches away from the camera; corners are (metres right, up, further away)."""
        seen = cut_off(corners, NEAREST_M - self.z)
        if seen:
            self.canvas.polygon([self.at(*corner) for corner in seen], colour, glow)

    def wheel(self, inner: float, further: float, radius: float, height: float) -> None:
        """Draws a tyre on the flank; all sizes are in metres."""
        near, far = further - radius, further + radius
        self.side(inner, ((near, 0), (far, 0), (far, height), (near, height)), TYRE)

    def text(self, word: str, middle: Point, height: float, colour: Colour) -> None:
        """Writes letters and digits of `GLYPHS`, centred at `middle`; `height` is in metres."""
        unit = height / 4
        left = middle[0] - unit * (3 * len(word) - 1) / 2
        for number, letter in enumerate(word):
            for stroke in GLYPHS[letter]:
                points = [(left + unit * (3 * number + x), middle[1] + unit * (y - 2)) for x, y in stroke]
                self.line(points, 0.8 * unit, colour)


def _shadow(pen: Pen, width: float, length: float) -> None:
    pen.canvas.become("road", GROUND, rough=0.05)
    corners = [(x, 0.0, further) for x, further in
               ((-width, -0.3), (width, -0.3), (width, length), (-width, length))]  # fmt: skip
    pen.lying(corners, (34, 35, 38))


def _facing(pen: Pen, half: float) -> float:
    """Returns the metres right of the middle of the flank that the camera sees, or 0 when it is straight behind."""
    return 0.0 if abs(pen.x) < half else math.copysign(half, -pen.x)


def car(pen: Pen, style: Sequence[float], oncoming: bool) -> None:
    """Draws a saloon, estate or van body, 1.7 to 1.9 m wide, from behind or (oncoming) from the front."""
    half, top = 0.85 + 0.1 * style[1], 1.38 + 0.35 * style[2] ** 2
    paint = pick(PAINTS, style[0], 0.85 + 0.25 * style[3])
    dim = tuple(0.7 * c for c in paint)
    roof = half * (0.62 + 0.25 * style[2])
    flank = _facing(pen, half)
    if flank:
        roof_side = flank * roof / half
        pen.side(flank, ((0, 0.25), (4.2, 0.25), (4.2, 0.8), (0, 0.95)), dim)
        pen.side((flank + roof_side) / 2, ((0.1, 0.9), (3.2, 0.9), (2.4, top), (0.4, top)), dim)
        pen.side((flank + roof_side) / 2, ((0.4, 0.98), (2.9, 0.98), (2.3, top - 0.1), (0.6, top - 0.1)), GLASS)
        for further in (0.7, 3.3):
            pen.wheel(flank, further, 0.3, 0.6)
    for x in (-half + 0.02, half - 0.27):
        pen.rectangle((x, 0, x + 0.25, 0.4), TYRE)
    belt, pane, inner = half * 0.94, half * 0.84, roof * 0.88
    pen.polygon(((-half, 0.28), (half, 0.28), (half, 0.82), (belt, 0.98), (-belt, 0.98), (-half, 0.82)), paint)
    pen.polygon(((-belt, 0.95), (belt, 0.95), (roof, top), (-roof, top)), paint)
    pen.polygon(((-pane, 0.98), (pane, 0.98), (inner, top - 0.09), (-inner, top - 0.09)), GLASS)
    pen.rectangle((-half, 0.28, half, 0.46), tuple(0.55 * c for c in paint))
    lamp, glow = ((250, 246, 220), 0.95) if oncoming else ((210, 20, 24), 0.5 + 0.5 * (style[4] < 0.4))
    for sign in (-1, 1):
        pen.rectangle((sign * half * 0.68 - 0.16, 0.66, sign * half * 0.68 + 0.16, 0.86), lamp, glow)
    if oncoming:
        pen.rectangle((-0.42, 0.52, 0.42, 0.72), DARK)
    pen.rectangle((-0.26, 0.5, 0.26, 0.62), WHITE)


def truck(pen: Pen, style: Sequence[float], oncoming: bool) -> None:
    """Draws a box lorry 2.5 m wide and 3.1 to 3.7 m high; oncoming ones show their cab."""
    half, top = 1.25, 3.1 + 0.6 * style[1]
    box = pick((*PAINTS[:5], PAINTS[5], PAINTS[8], WHITE, WHITE), style[0], 0.9 + 0.1 * style[2])
    flank = _facing(pen, half)
    if flank:
        pen.side(flank, ((0, 0.95), (8, 0.95), (8, top), (0, top)), tuple(0.72 * c for c in box))
        for further in (0.8, 2.0, 6.5):
            pen.wheel(flank, further, 0.5, 0.95)
    for x in (-half + 0.05, half - 0.6):
        pen.rectangle((x, 0, x + 0.55, 0.85), TYRE)
    pen.rectangle((-half, 0.45, half, 0.98), DARK)
    pen.rectangle((-half, 0.95, half, top), box)
    if oncoming:
        pen.rectangle((-half * 0.92, 1.6, half * 0.92, 2.6), GLASS)
        pen.rectangle((-0.8, 0.8, 0.8, 1.35), tuple(0.5 * c for c in box))
    else:
        line = tuple(0.6 * c for c in box)
        for points in (((0, 1), (0, top)), ((-half, top - 0.05), (half, top - 0.05)), ((-half, 1.0), (half, 1.0))):
            pen.line(points, 0.08, line)
        for x in (-0.35, 0.35):
            pen.line(((x, 1.05), (x, top - 0.1)), 0.04, STEEL)
        if style[5] < 0.5:
            pen.rectangle((-half, 1.0, half, 1.16), RED)
    lamp, glow = ((250, 246, 220), 0.95) if oncoming else ((206, 20, 24), 0.5 + 0.5 * (style[4] < 0.4))
    for sign in (-1, 1):
        pen.rectangle((sign * 0.95 - 0.2, 0.62, sign * 0.95 + 0.2, 0.86), lamp, glow)


def pedestrian(pen: Pen, style: Sequence[float], oncoming: bool) -> None:
    """Draws a walking person 1.5 to 1.9 m tall."""
    tall = (1.5 + 0.4 * style[1]) / 1.75
    coat, trousers = pick(CLOTHES, style[0]), pick(CLOTHES[:6], style[2], 0.75)
    step, swing, lean = 0.34 * (style[3] - 0.5), 0.5 * (style[4] - 0.5), 0.06 * (style[5] - 0.5)
    hip, neck = 0.88 * tall, 1.46 * tall
    for sign in (-1, 1):
        foot = sign * (0.09 + step)
        pen.line(((sign * 0.08, hip), (sign * 0.09 + foot * 0.3, hip / 2), (foot, 0.04)), 0.15, trousers)
        pen.line(((foot - 0.06, 0.04), (foot + 0.08, 0.04)), 0.08, BLACK)
    coat_end = hip - (0.35 if style[6] < 0.3 else 0.05)
    pen.polygon(((-0.19, coat_end), (0.19, coat_end), (0.24 + lean, neck - 0.06), (0.1 + lean, neck),
                 (-0.1 + lean, neck), (-0.24 + lean, neck - 0.06)), coat)  # fmt: skip
    for sign in (-1, 1):
        hand = (sign * 0.28 + swing, hip - 0.02)
        pen.line(((sign * 0.22 + lean, neck - 0.1), (sign * 0.31 + swing / 2, 1.12 * tall), hand), 0.1,
                 tuple(0.8 * c for c in coat))  # fmt: skip
    pen.disc(lean, neck + 0.15, 0.135, pick(SKIN, style[7]))
    hair = pick(((30, 24, 20), (86, 58, 34), (150, 120, 70), (120, 120, 122)), style[5])
    pen.polygon(((lean - 0.14, neck + 0.14), (lean - 0.1, neck + 0.29), (lean + 0.1, neck + 0.29),
                 (lean + 0.14, neck + 0.14), (lean, neck + 0.2)), hair)  # fmt: skip
    if style[6] > 0.75:
        pen.rectangle((0.24, hip - 0.35, 0.48, hip - 0.02), pick(PAINTS, style[2]))


def cyclist(pen: Pen, style: Sequence[float], oncoming: bool) -> None:
    """Draws a rider on a bicycle, seen from the side or obliquely."""
    pen.squeeze = (0.4 + 0.6 * style[1]) * (1 if style[2] < 0.5 else -1)
    narrow = abs(pen.squeeze)
    frame, shirt = pick(PAINTS, style[0]), pick(CLOTHES[1:], style[3])
    for x in (-0.52, 0.52):
        size = pen.scale * 0.34
        pen.canvas.ellipse(pen.at(x, 0.34), (size * narrow, size), TYRE, ring=0.08 * pen.scale)
    pedal = 0.16 * math.sin(6.3 * style[4])
    pen.line(((-0.52, 0.34), (-0.1, 0.3), (0.36, 0.8), (-0.2, 0.78), (-0.52, 0.34)), 0.06, frame)
    pen.line(((-0.1, 0.3), (-0.24, 0.92)), 0.06, frame)
    pen.line(((0.52, 0.34), (0.38, 0.98), (0.52, 1.02)), 0.06, frame)
    trousers = pick(CLOTHES[:6], style[5], 0.7)
    for sign in (1, -1):
        pen.line(((-0.22, 0.96), (0.16, 0.72 + sign * pedal), (-0.08, 0.3 + sign * pedal)), 0.15, trousers)
    pen.polygon(((-0.34, 0.9), (-0.1, 0.9), (0.26, 1.36), (0.14, 1.5), (-0.02, 1.46)), shirt)
    pen.line(((0.14, 1.38), (0.3, 1.14), (0.48, 1.05)), 0.1, pick(SKIN, style[7]))
    size = pen.scale * 0.14
    pen.canvas.ellipse(pen.at(0.28, 1.6), (size, size), pick(SKIN, style[7]))
    helmet = pick(PAINTS, style[6])
    pen.polygon(((0.1, 1.62), (0.16, 1.76), (0.32, 1.8), (0.46, 1.66)), helmet)


def _outline(corners: int, turn: float, radius: float) -> list[Point]:
    angles = [2 * math.pi * (k / corners) + turn for k in range(corners)]
    return [(radius * math.cos(a), radius * math.sin(a)) for a in angles]


def sign(pen: Pen, kind: str, style: Sequence[float]) -> None:
    """Draws the plate of a traffic sign around the pen's foot, 0.8 m across.

    It faces the camera but for a slight turn.
    """
    size = 0.4
    match kind:
        case "stop sign":
            pen.polygon(_outline(8, math.pi / 8, size * 1.06), WHITE)
            pen.polygon(_outline(8, math.pi / 8, size * 0.97), RED)
            pen.text("STOP", (0, 0), 0.24, WHITE)
        case "yield sign":
            pen.polygon(_outline(3, -math.pi / 2, size * 1.15), RED)
            pen.polygon(_outline(3, -math.pi / 2, size * 0.66), WHITE)
        case "speed limit":
            pen.disc(0, 0, size, RED)
            pen.disc(0, 0, size * 0.76, WHITE)
            pen.text(("30", "50", "70", "80", "20")[int(style[0] * 5)], (0, 0), 0.32, BLACK)
        case "priority sign":
            pen.polygon(_outline(4, 0, size * 1.08), WHITE)
            pen.polygon(_outline(4, 0, size * 0.78), YELLOW)
        case "no entry sign":
            pen.disc(0, 0, size, RED)
            pen.rectangle((-0.28, -0.07, 0.28, 0.07), WHITE)
        case _:
            pen.polygon(_outline(3, math.pi / 2, size * 1.15), RED)
            pen.polygon(_outline(3, math.pi / 2, size * 0.76), WHITE)
            pen.disc(0.02, 0.12, 0.05, BLACK)
            pen.line(((-0.1, -0.14), (0, 0.04), (0.1, -0.14)), 0.06, BLACK)


def traffic_light(pen: Pen, style: Sequence[float], oncoming: bool) -> None:
    """Draws a head of three lamps, one of which is lit (red, amber or green)."""
    if style[1] < 0.5:
        pen.rectangle((-0.3, 0.0, 0.3, 1.15), WHITE)
    pen.rectangle((-0.26 if style[1] < 0.5 else -0.2, 0.04, 0.26 if style[1] < 0.5 else 0.2, 1.11), (26, 28, 30))
    lit = 0 if style[0] < 0.45 else (2 if style[0] < 0.85 else 1)
    lamps = ((255, 42, 30), (255, 176, 24), (40, 240, 130))
    for number, lamp in enumerate(lamps):
        on = number == lit
        pen.disc(0, 0.9 - 0.33 * number, 0.13, lamp if on else tuple(0.18 * c + 12 for c in lamp), 1.0 * on)


BODIES: dict[str, tuple[str, Callable]] = {
    "car": ("vehicle", car), "truck": ("vehicle", truck), "pedestrian": ("pedestrian", pedestrian),
    "cyclist": ("cyclist", cyclist), "traffic light": ("traffic light", traffic_light),
}  # fmt: skip
SHADOWS = {"car": (0.95, 4.2), "truck": (1.3, 8.0), "pedestrian": (0.3, 0.5), "cyclist": (0.7, 0.5)}


def draw_object(canvas: Canvas, thing: Thing, x: float, owner: int, oncoming: bool) -> int:
    """Draws one of OBJECT_KINDS whose middle is `x` metres right, and returns the number of its first own stroke.

    Its pole and its shadow come first and are no part of it.
    """
    pen = Pen(canvas, x, thing.z)
    if thing.kind in SHADOWS:
        _shadow(pen, *SHADOWS[thing.kind])
    lift = BASE.get(thing.kind, 0.0)
    if lift:
        canvas.become("pole", thing.z)
        pen.rectangle((-0.05, 0, 0.05, lift + 0.5), STEEL)
    if thing.kind in SIGNS:
        first = canvas.become("sign", thing.z, owner, rough=0.02)
        pen = Pen(canvas, x, thing.z, lift + EXTENT[thing.kind][1] / 2, 0.72 + 0.28 * thing.style[1])
        sign(pen, thing.kind, thing.style)
        return first
    semantic, body = BODIES[thing.kind]
    first = canvas.become(semantic, max(thing.z, NEAREST_M), owner, rough=0.03)
    pen.lift = lift
    body(pen, thing.style, oncoming)
    return first
