"""Writes numbers in every report: units, three significant digits, a dash for what was not measured.

Sizes are decimal (1 MB = 10^6 bytes, IEC 80000-13), scores are percent and differences of scores are points.
"""

from __future__ import annotations

import math

from tfmo_drive.base import progress

DASH = "–"


def _absent(value: float | None) -> bool:
    return value is None or not math.isfinite(value)


def significant(value: float | None, digits: int = 3) -> str:
    """Returns `value` with `digits` significant digits and no exponent: 24.2, 1.70, 490."""
    if _absent(value):
        return DASH
    # Rounded first: 9.996 has two digits before the point once it is 10.0.
    value = float(f"{value:.{digits - 1}e}")
    magnitude = math.floor(math.log10(abs(value))) if value else 0
    return f"{value:.{max(0, digits - 1 - magnitude)}f}"


def _scaled(value: float | None, units: tuple[str, ...]) -> str:
    if _absent(value):
        return DASH
    power = 0
    # 999.5 and more would be printed as 1000 of this unit.
    while abs(value) >= 999.5 and power < len(units) - 1:
        value, power = value / 1000, power + 1
    return f"{significant(value) if power else round(value)} {units[power]}".strip()


def size(size_bytes: float | None) -> str:
    """Returns bytes as B, kB, MB or GB."""
    return _scaled(size_bytes, ("B", "kB", "MB", "GB"))


def count(value: float | None) -> str:
    """Returns parameters or operations as thousands (k), millions (M) or billions (G)."""
    return _scaled(value, ("", "k", "M", "G"))


def percent(fraction: float | None, decimals: int = 1) -> str:
    """Returns a fraction in [0, 1] as percent."""
    return DASH if _absent(fraction) else f"{100 * fraction:.{decimals}f} %"


def points(difference: float | None, decimals: int = 1) -> str:
    """Returns a difference of two scores as signed percentage points; what rounds to zero has no sign."""
    if _absent(difference):
        return DASH
    text = f"{100 * difference:+.{decimals}f}"
    return text[1:] if float(text) == 0 else text


def measured(value: float | None, unit: str | None = "") -> str:
    """Returns a number with its unit: 12.8 m; without one where nobody knows it."""
    return f"{significant(value)} {unit or ''}".strip()


def changed(difference: float | None, unit: str | None = "") -> str:
    """Returns a difference of two numbers with its sign and unit: +0.31 m; one that is zero has no sign."""
    sign = "+" if not _absent(difference) and difference > 0 else ""
    return sign + measured(difference, unit)


def times(ratio: float | None) -> str:
    """Returns a ratio with two significant digits, and three where two would call it 1: 3.9x, 12x, 0.83x, 1.04x."""
    return DASH if _absent(ratio) else f"{significant(ratio, 3 if 1.02 < ratio < 1.095 else 2)}x"


def milliseconds(latency_ms: float | None) -> str:
    """Returns milliseconds with their unit."""
    return DASH if _absent(latency_ms) else f"{significant(latency_ms)} ms"


def degrees(angle: float | None) -> str:
    """Returns an angle with its sign of degree; to hundredths, because jitter is some of them."""
    return DASH if _absent(angle) else f"{angle:.2f}\N{DEGREE SIGN}"


def duration(seconds: float | None) -> str:
    """Returns seconds as 8.2 s, 3 min 05 s or 2 h 10 min."""
    return DASH if _absent(seconds) else progress.duration(seconds)


def whole(value: float | None) -> str:
    """Returns a count of things with thousands separators: 1,055."""
    return DASH if _absent(value) else f"{value:,.0f}"
