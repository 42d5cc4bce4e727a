"""Photographs a finished `Drawing` in light and weather, which change what it looks like and never what is true of it.

Fog follows Koschmieder's law (contrast falls as exp(-distance / range)), the standard model of haze in images.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from tfmo_drive.contracts import BadInput
from tfmo_drive.scenes.canvas import SKY_DEPTH_M, Drawing

WEATHERS = ("clear", "fog", "rain")
TIMES_OF_DAY = ("day", "dusk", "night")


@dataclasses.dataclass(frozen=True)
class Conditions:
    """Describes the conditions in which a photograph is taken."""

    weather: str
    time_of_day: str
    severity: float
    """The strength of fog, darkness and noise, in [0, 1]."""
    lightness: float | None = None
    """The lightness for the time of day, in [0, 1]; None samples it for every photograph."""

    def asked(self, weather: str | None, time_of_day: str | None) -> Conditions:
        """Returns these conditions with the given weather and time of day in place of their own.

        Raises BadInput for a name that is none of WEATHERS or TIMES_OF_DAY; None changes nothing.
        """
        changes = {"weather": weather, "time_of_day": time_of_day}
        for (name, value), allowed in zip(changes.items(), (WEATHERS, TIMES_OF_DAY), strict=True):
            if value is not None and value not in allowed:
                raise BadInput(f"{name} must be one of {', '.join(allowed)}, got {value!r}.")
        return dataclasses.replace(self, **{name: value for name, value in changes.items() if value is not None})


@dataclasses.dataclass(frozen=True)
class _Light:
    ambient: tuple[float, float, float]
    zenith: tuple[float, float, float]
    skyline: tuple[float, float, float]
    lamps: float
    """The light that headlights and other lamps add."""
    noise: float
    """Standard deviation in grey levels."""


_LIGHTS = {
    "day": _Light((1.0, 1.0, 0.97), (92, 146, 214), (206, 220, 232), 0.25, 3.0),
    "dusk": _Light((0.62, 0.52, 0.52), (62, 66, 118), (240, 158, 106), 0.7, 5.0),
    "night": _Light((0.2, 0.21, 0.27), (10, 12, 26), (36, 38, 54), 1.0, 7.0),
}


def sample_conditions(generator: np.random.Generator, severity: float) -> Conditions:
    """Returns random conditions: clear 60 %, fog and rain 20 % each; day 60 %, dusk 20 %, night 20 %."""
    weather = WEATHERS[int(np.searchsorted((0.6, 0.8), generator.random(), side="right"))]
    time = TIMES_OF_DAY[int(np.searchsorted((0.6, 0.8), generator.random(), side="right"))]
    return Conditions(weather, time, float(severity * generator.random()))


def photograph(drawing: Drawing, conditions: Conditions, generator: np.random.Generator) -> np.ndarray:
    """Returns the drawing as it looks under these conditions: uint8 [h, w, 3], RGB."""
    light = _LIGHTS[conditions.time_of_day]
    grey = 0.0 if conditions.weather == "clear" else 0.75
    lightness = generator.random() if conditions.lightness is None else conditions.lightness
    ambient = np.float32(light.ambient) * np.float32((0.8 + 0.3 * lightness) * (1 - 0.25 * (grey > 0)))
    if conditions.time_of_day == "night":
        ambient *= np.float32(1.4 - 0.7 * conditions.severity)
    sky, haze = _sky(drawing, light, grey, ambient)
    image = _textured(drawing, generator) * (ambient + _headlights(drawing, light)[..., None])
    image += drawing.colour * (drawing.glow * light.lamps)[..., None]
    if conditions.time_of_day != "day":
        image += _halo(drawing) * light.lamps
    image = _hazy(image, drawing, conditions, haze) + sky * drawing.sky[..., None]
    if conditions.weather == "rain":
        streaks = 0.35 * _streaks(*drawing.depth.shape, conditions.severity, generator)[..., None]
        image = image * (1 - streaks) + (0.4 * haze + 90) * streaks
    noise = (light.noise * (0.6 + conditions.severity)) * generator.standard_normal(image.shape, np.float32)
    return (image + noise).clip(0, 255).astype(np.uint8)


def _sky(drawing: Drawing, light: _Light, grey: float, ambient: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the sky's colour [h, w, 3] by elevation, with clouds, and the colour of haze [3]."""
    camera = drawing.camera
    rows = np.arange(len(drawing.depth), dtype=np.float32)
    high = ((camera.horizon - rows) / (0.4 * camera.focal)).clip(0, 1)[:, None, None]
    skyline, zenith = np.float32(light.skyline), np.float32(light.zenith)
    haze = (1 - grey) * skyline + grey * np.float32((196, 198, 202)) * ambient.mean()
    high = high**0.7
    clouds = drawing.cloud[..., None] * (1 - 0.6 * grey) * (ambient - 0.15)
    return haze * (1 - high) + ((1 - grey) * zenith + grey * haze * 0.85) * high + clouds, haze


def _textured(drawing: Drawing, generator: np.random.Generator) -> np.ndarray:
    """Returns the surfaces' colour with grain: half of it per pixel, half in patches of three pixels."""
    height, width = drawing.rough.shape
    patches = generator.standard_normal((height // 3 + 1, width // 3 + 1), np.float32)
    coarse = np.asarray(Image.fromarray(patches).resize((width, height), Image.Resampling.BILINEAR))
    grain = 0.6 * generator.standard_normal((height, width), np.float32) + coarse
    return drawing.colour * (1 + drawing.rough * grain)[..., None]


def _headlights(drawing: Drawing, light: _Light) -> np.ndarray:
    """Returns the light [h, w] of a low beam: a cone in metres ahead, fading with distance, weaker above the bonnet."""
    camera = drawing.camera
    height, width = drawing.depth.shape
    scale = drawing.depth / camera.focal
    across = (np.arange(width, dtype=np.float32) - camera.centre)[None] * scale
    above = camera.height - (np.arange(height, dtype=np.float32) - camera.horizon)[:, None] * scale
    beam = np.exp(-((across / (2.0 + 0.28 * drawing.depth)) ** 2) - drawing.depth / 30)
    return (light.lamps**2) * beam * np.where(above < 1.2, 0.8, 0.55)


def _halo(drawing: Drawing) -> np.ndarray:
    """Returns the bloom around lamps [h, w, 3]."""
    lamps = (drawing.colour * drawing.glow[..., None]).astype(np.uint8)
    radius = max(1.0, 0.012 * drawing.camera.focal) if lamps.any() else 0.0
    if not radius:
        return np.zeros_like(drawing.colour)
    return 0.9 * np.asarray(Image.fromarray(lamps).filter(ImageFilter.GaussianBlur(min(radius, 6.0))), np.float32)


def _hazy(image: np.ndarray, drawing: Drawing, conditions: Conditions, haze: np.ndarray) -> np.ndarray:
    """Fades surfaces into the haze with distance; the sky already has the haze's colour."""
    reach = {"clear": 600.0, "fog": 75.0 - 55.0 * conditions.severity, "rain": 200.0}[conditions.weather]
    depth = np.where(drawing.depth >= SKY_DEPTH_M, 0.0, drawing.depth)
    clear = np.exp(-depth / np.float32(reach))[..., None]
    return image * clear + haze * (1 - clear) * (1 - drawing.sky[..., None])


def _streaks(height: int, width: int, severity: float, generator: np.random.Generator) -> np.ndarray:
    """Returns rain [h, w] in [0, 1]: short slanted lines."""
    drops = Image.new("L", (width, height))
    pen = ImageDraw.Draw(drops)
    count = int((0.006 + 0.012 * severity) * height * width) + 4
    length = 0.05 + 0.06 * severity
    slant = 0.3 * (generator.random() - 0.5)
    for x, y, size in generator.random((min(count, 4000), 3)).tolist():
        reach = height * length * (0.5 + size)
        pen.line((x * width, y * height, x * width + slant * reach, y * height + reach), fill=int(90 + 160 * size))
    return np.asarray(drops, np.float32) / 255
