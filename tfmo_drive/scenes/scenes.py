"""Generates the built-in data: driving scenes with their exact truth, so that nothing must be downloaded.

`draw` makes a whole frame for detection, segmentation, lanes and steering; `patch` a crop around one road user, sign or
light for classification. Both depend on (seed, index) alone. A scene is a `Layout` (layout: geometry), drawn (drawing,
shapes, canvas) and then photographed (light).
"""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tfmo_drive.contracts import BadInput
from tfmo_drive.scenes.canvas import SEMANTIC_CLASSES, Drawing
from tfmo_drive.scenes.drawing import SceneObject, draw_layout, looks_at
from tfmo_drive.scenes.layout import BASE, EXTENT, OBJECT_KINDS, Camera, Layout, Road, Thing, sample_layout
from tfmo_drive.scenes.light import TIMES_OF_DAY, WEATHERS, Conditions, photograph, sample_conditions

__all__ = [
    "OBJECT_KINDS", "PATCH_CLASSES", "SEMANTIC_CLASSES", "SEVERITY", "TIMES_OF_DAY", "WEATHERS", "Scene", "SceneObject",
    "check_drawable", "draw", "patch", "render", "version",
]  # fmt: skip

PATCH_CLASSES = (
    "car", "truck", "pedestrian", "cyclist", "traffic light", "stop sign", "yield sign", "speed limit", "clear road",
)  # fmt: skip
DIFFICULTY = 0.6
"""The difficulty of patches, unless another is asked for."""
SEVERITY = 0.8
"""The largest severity of the weather in whole frames."""
LEAST_VISIBLE = 0.4
"""The visible share below which a patch's object could not be named."""


@dataclasses.dataclass(frozen=True)
class Scene:
    """Holds one frame and everything that is true of it."""

    image: np.ndarray
    """uint8 [h, w, 3], RGB."""
    objects: tuple[SceneObject, ...]
    """Every object with at least one visible pixel, far to near."""
    mask: np.ndarray
    """uint8 [h, w]: index into SEMANTIC_CLASSES."""
    instances: np.ndarray
    """uint8 [h, w]: k where objects[k - 1] is on top, else 0."""
    lanes: np.ndarray
    """uint8 [h, w]: 0, or the number of the lane line from the left, from 1."""
    steering: float
    """The steering in [-1, 1], positive to the right; see Road.steering."""
    weather: str
    time_of_day: str
    layout: Layout


def draw(
    seed: int, index: int, size: tuple[int, int], weather: str | None = None, time_of_day: str | None = None
) -> Scene:
    """Returns frame `index` of the endless set `seed`.

    Args:
        seed: The number of the set, at least 0.
        index: The number of the frame, at least 0.
        size: (height, width) in pixels, each at least 32.
        weather: One of WEATHERS in place of the random one; it changes no truth.
        time_of_day: One of TIMES_OF_DAY in place of the random one; it changes no truth.

    Raises:
        BadInput: The size, a seed or a condition cannot be drawn.
    """
    height, width = size
    check_drawable(seed, index, min(height, width), 32)
    generator = np.random.default_rng([seed, index])
    layout = sample_layout(generator)
    conditions = sample_conditions(generator, SEVERITY).asked(weather, time_of_day)
    return render(layout, conditions, size, generator)


def render(layout: Layout, conditions: Conditions, size: tuple[int, int], generator: np.random.Generator) -> Scene:
    """Returns a frame of a given layout; the generator makes only noise, grain and rain."""
    drawing, objects = draw_layout(layout, layout.camera(*size), *size)
    return Scene(
        image=photograph(drawing, conditions, generator),
        objects=objects,
        mask=drawing.semantic,
        instances=drawing.owner,
        lanes=drawing.lane,
        steering=layout.road.steering(),
        weather=conditions.weather,
        time_of_day=conditions.time_of_day,
        layout=layout,
    )


def check_drawable(seed: int, index: int, side: int, least: int) -> None:
    """Raises BadInput unless seed and index are at least 0 and the shorter side is at least `least` pixels."""
    if side < least:
        raise BadInput(f"The size of a scene must be at least {least} px, got {side}. Ask for a larger image.")
    if seed < 0 or index < 0:
        raise BadInput(f"Seed and index of a scene must be 0 or more, got seed {seed} and index {index}.")


def patch(seed: int, index: int, size: int, difficulty: float = DIFFICULTY) -> tuple[np.ndarray, int, dict[str, Any]]:
    """Returns classification example `index` of the endless set `seed`.

    Args:
        seed: The number of the set, at least 0.
        index: The number of the example, at least 0.
        size: The side in pixels, at least 16.
        difficulty: In [0, 1]; it makes hiding, night, fog, noise and tiny objects more frequent and stronger.

    Returns:
        The image (uint8 [size, size, 3], RGB), the class (index into PATCH_CLASSES, all equally likely) and what makes
            it hard: weather, time_of_day, visible (fraction of the object not hidden) and pixels (its larger side
            before up-sampling).

    Raises:
        BadInput: The size or the difficulty is out of range.
    """
    check_drawable(seed, index, size, 16)
    if not 0 <= difficulty <= 1:
        raise BadInput(f"difficulty must be in [0, 1], got {difficulty}.")
    generator = np.random.default_rng([seed, index])
    label = int(generator.integers(len(PATCH_CLASSES)))
    layout = sample_layout(generator)
    conditions = sample_conditions(generator, difficulty)
    rolls = generator.random(24).tolist()
    native = _native(size, rolls, difficulty)
    layout, camera = _aim(layout, PATCH_CLASSES[label], native, rolls, difficulty)
    drawing, main = _draw_main(layout, camera, native, PATCH_CLASSES[label])
    image = photograph(drawing, conditions, generator)
    if native != size:
        image = np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BICUBIC))
    attributes = {
        "weather": conditions.weather,
        "time_of_day": conditions.time_of_day,
        "visible": main.visible if main else 1.0,
        "pixels": int(max(main.box[2] - main.box[0], main.box[3] - main.box[1])) if main else native,
    }
    return image, label, attributes


def _draw_main(layout: Layout, camera: Camera, native: int, kind: str) -> tuple[Drawing, SceneObject | None]:
    """Returns the crop and its main object; things before the object go when they hide too much for it to be named."""
    for things in (layout.things, tuple(thing for thing in layout.things if thing.kind not in ("pole", "tree"))):
        drawing, objects = draw_layout(dataclasses.replace(layout, things=things), camera, native, native)
        main = next((thing for thing in reversed(objects) if thing.kind == kind), None)
        if kind == "clear road" or (main is not None and main.visible >= LEAST_VISIBLE):
            break
    return drawing, main


def _native(size: int, rolls: list[float], difficulty: float) -> int:
    """Returns the side in pixels at which the crop is drawn: sometimes far below `size`, as for a distant object."""
    if rolls[0] < 0.3 * difficulty:
        return max(10, round(size * (0.7 - 0.45 * rolls[1])))
    return size


def _aim(layout: Layout, kind: str, native: int, rolls: list[float], difficulty: float) -> tuple[Layout, Camera]:
    """Puts one thing of `kind` on the street, points a long lens at it, and clears the view of rivals."""
    road = layout.road
    z = 8 + 22 * rolls[2]
    if kind == "clear road":
        z = 6 + 8 * rolls[2]
        across, wide, high, base = road.lane_width * (rolls[3] - 0.5), 4.5, 3.0, -1.2
    else:
        (wide, high), base = EXTENT[kind], BASE.get(kind, 0.0)
        across = _main_across(kind, layout, rolls)
    fraction = (0.85 - 0.4 * rolls[4] ** (2 - difficulty)) * native
    focal = fraction * z / max(wide, high)
    jitter = native * (0.08 + 0.12 * difficulty)
    shift_x, shift_y = jitter * (2 * rolls[5] - 1), jitter * (2 * rolls[6] - 1)
    scale = focal / z
    camera = Camera(
        focal,
        native / 2 + shift_x - scale * road.x(across, z),
        native / 2 + shift_y - scale * (layout.camera_height - base - high / 2),
        layout.camera_height,
    )
    things = [thing for thing in layout.things if _welcome(thing, kind, z, camera, layout, native)]
    if kind != "clear road":
        main = Thing(kind, across, z, tuple(rolls[16:24]))
        things.append(main)
        if rolls[7] < 0.5 * difficulty:
            things.append(_occluder(main, wide, road, rolls))
    return dataclasses.replace(layout, things=tuple(things)), camera


def _main_across(kind: str, layout: Layout, rolls: list[float]) -> float:
    road = layout.road
    if kind in ("car", "truck"):
        return road.left + (int(rolls[3] * road.lanes) + 0.5) * road.lane_width
    if kind in ("pedestrian", "cyclist"):
        return road.left - 2 + (road.right - road.left + 4) * rolls[3]
    return road.right + 0.6 + 0.5 * rolls[3] if rolls[8] < 0.7 else road.left - 0.6 - 0.5 * rolls[3]


def _welcome(thing: Thing, kind: str, z: float, camera: Camera, layout: Layout, native: int) -> bool:
    """Says whether a thing of the street may be in the crop: none of the classes nearby, nothing large in front."""
    left, top, right, bottom = looks_at(camera, thing, layout)
    if right < 0 or bottom < 0 or left > native or top > native:
        return False
    if thing.kind in PATCH_CLASSES and (kind == "clear road" or thing.z < 2.5 * z or thing.kind == kind):
        return False
    return thing.z > z + 1


def _occluder(main: Thing, wide: float, road: Road, rolls: list[float]) -> Thing:
    """Returns a street lamp or tree between the camera and one side of the main thing."""
    kind = "tree" if rolls[9] < 0.35 else "pole"
    side = 1 if rolls[10] < 0.5 else -1
    crown = 1.6 if kind == "tree" and main.kind in BASE else 0.0
    target = road.x(main.across, main.z) + side * (0.45 * wide * rolls[11] + crown)
    z = main.z * (0.4 + 0.5 * rolls[12])
    return Thing(kind, target * z / main.z - road.x(0.0, z), z, tuple(rolls[12:20]))


def version() -> str:
    """Returns 12 hex digits of the SHA-256 of this room's code, so that no old cache is taken for its images."""
    text = b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))
    return hashlib.sha256(text).hexdigest()[:12]
