"""Places names beside the points of a scatter plot, so that none covers another name, a point or the frame."""

from __future__ import annotations

import dataclasses
import itertools
import math

from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox

# Straight beside the point first, then turning away from it; distances in points (1/72 inch).
ANGLES = (0, 180, 35, -35, 145, -145, 90, -90, 60, -60, 120, -120)
DISTANCES = (8, 18, 32, 50, 72, 98, 130)
MARKER = 6
# What crossing an error bar costs, as distance: a name may go this much further to cross one fewer.
CROSSING = 25
LINE_FROM = 14
# Between names on one line, which would be read as one name; distance in points.
APART = 5
# The part of a text's width that lies left of the place where it is anchored.
LEFT_OF_ANCHOR = {"left": 0.0, "center": 0.5, "right": 1.0}


@dataclasses.dataclass(frozen=True)
class Label:
    """Names the point (x, y) whose error bar runs from low to high, in data coordinates.

    A name of "" is only not covered.
    """

    name: str
    x: float
    y: float
    low: float
    high: float


def place(axes: Axes, wanted: list[Label], fontsize: float = 9) -> None:
    """Writes the names, topmost point first, each at the cheapest place round its point.

    A place must be inside the frame and cover neither a placed name nor a point; of those that are left, the near ones
    that cross few error bars are cheap. A name that had to move away gets a thin line to its point; one for which no
    place is free is not written, since two names on one another say less than one.
    """
    axes.figure.draw_without_rendering()
    pixel = axes.figure.dpi / 72
    where = [axes.transData.transform((one.x, one.y)) for one in wanted]
    ends = [axes.transData.transform([(one.x, one.low), (one.x, one.high)]) for one in wanted]
    bars = [Bbox(end).padded(pixel) for end in ends]
    points = [Bbox([point, point]).padded(MARKER * pixel) for point in where]
    placed: list[Bbox] = []
    style = {"textcoords": "offset points", "va": "center", "fontsize": fontsize}
    for index in sorted(range(len(wanted)), key=lambda i: (-where[i][1], where[i][0])):
        one = wanted[index]
        if not one.name:
            continue
        text = axes.annotate(one.name, (one.x, one.y), (0, 0), **style)
        # Gridlines and dashes stay behind the letters.
        text.set_path_effects([withStroke(linewidth=2.5, foreground="white")])
        covered = placed + points[:index] + points[index + 1 :]
        found = _settle(text, where[index], covered, bars)
        if found is None:
            text.remove()
            continue
        offset, box = found
        text.set(position=offset, horizontalalignment=_alignment(offset[0]))
        placed.append(box)
        if math.hypot(*offset) > LINE_FROM:
            axes.annotate("", (one.x, one.y), offset, textcoords="offset points", zorder=1,
                          arrowprops={"arrowstyle": "-", "color": "0.5", "linewidth": 0.7})  # fmt: skip


def _settle(
    text: Annotation, point: tuple, covered: list[Bbox], bars: list[Bbox]
) -> tuple[tuple[float, float], Bbox] | None:
    """Returns the cheapest offset of `text` from `point` and the pixels it takes, or None where no place is free."""
    # Measured once and moved by arithmetic: laying a text out again for each place takes a hundred times as long.
    extent, frame, pixel = text.get_window_extent(), text.axes.get_window_extent(), text.figure.dpi / 72
    cheapest, chosen = math.inf, None
    for distance, angle in itertools.product(DISTANCES, ANGLES):
        offset = distance * math.cos(math.radians(angle)), distance * math.sin(math.radians(angle))
        left = point[0] + offset[0] * pixel - extent.width * LEFT_OF_ANCHOR[_alignment(offset[0])]
        bottom = point[1] + offset[1] * pixel - extent.height / 2
        box = Bbox.from_bounds(left, bottom, extent.width, extent.height).padded(APART * pixel, pixel)
        inside = frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1
        free = inside and not any(box.overlaps(other) for other in covered)
        cost = distance + CROSSING * sum(box.overlaps(bar) for bar in bars) if free else math.inf
        if cost < cheapest:
            cheapest, chosen = cost, (offset, box)
    return chosen


def _alignment(offset: float) -> str:
    return "center" if abs(offset) < 1 else "left" if offset > 0 else "right"
