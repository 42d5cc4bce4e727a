"""Sets the style of every plot of a report: matplotlib's object API on Agg, no pyplot state, nothing shown.

Colours are those of Okabe and Ito (2008, "Color Universal Design"), told apart with every kind of colour vision; no
meaning rests on colour alone. Drawn at twice the size at which they are shown (`SHOWN_DPI`), for sharp screens.
"""

from __future__ import annotations

import io

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tfmo_drive.scores import lettering

SHOWN_DPI = 100
DRAWN_DPI = 2 * SHOWN_DPI
BLUE, VERMILLION, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#666666"
COLOURS = (BLUE, VERMILLION, GREEN, "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = "osD^vPX<>h"
EITHER = "#7a7a7a"
"""A grey that is read on white and on a dark page alike, for what is drawn on no ground of its own."""
LEAST_SPAN = 2.0
"""Points that an axis of scores shows at least: less of a difference is to look like none."""
# A class may be called $x$: names are text, and never formulas, which matplotlib would refuse where they are none.
matplotlib.rcParams["text.parse_math"] = False
matplotlib.rcParams["font.family"] = lettering.families()


def single(width: float, height: float) -> tuple[Figure, Axes]:
    """Returns a figure of one plot; sizes are in inches."""
    figure = Figure(figsize=(width, height), dpi=DRAWN_DPI, layout="constrained")
    axes = figure.subplots()
    plain(axes)
    return figure, axes


def plain(axes: Axes) -> None:
    """Draws a grid behind the plot, and no frame."""
    axes.grid(True, color="0.9", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def widen(axes: Axes, which: str = "y") -> None:
    """Widens the axis `which` ("x" or "y"), of scores in percent or of points, to LEAST_SPAN where it spans less."""
    one, other = getattr(axes, f"get_{which}lim")()
    lack = max(0.0, LEAST_SPAN - abs(other - one)) / 2 * (1 if other > one else -1)
    getattr(axes, f"set_{which}lim")(one - lack, other + lack)


def legend(figure: Figure, loc: str, **style) -> None:
    """Draws the figure's legend outside its axes, in as many columns (at most 5) as its width takes."""
    for columns in range(5, 0, -1):
        drawn = figure.legend(loc=loc, ncols=columns, frameon=False, **style)
        if columns == 1 or drawn.get_window_extent().width <= figure.bbox.width:
            return
        drawn.remove()


def png(figure: Figure, transparent: bool = False) -> bytes:
    """Returns the figure's bytes."""
    buffer = io.BytesIO()
    FigureCanvasAgg(figure)
    # Without the software's version the same report gives the same bytes.
    figure.savefig(buffer, format="png", metadata={"Software": None}, transparent=transparent)
    return buffer.getvalue()
