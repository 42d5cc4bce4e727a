"""Offers the built-in driving scenes as examples of tasks on whole frames: boxes, masks, lines and steering at once."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

import numpy as np

from tfmo_drive.contracts import Arrays, Examples
from tfmo_drive.data.boxes import Truth
from tfmo_drive.data.detections import padded
from tfmo_drive.data.image_cache import Example, PackedExamples, pack_generated
from tfmo_drive.data.images import in_channels, whole
from tfmo_drive.data.lanes import LANES
from tfmo_drive.data.splitting import SPLITS, refuse_few
from tfmo_drive.scenes import scenes
from tfmo_drive.scenes.layout import SIGNS

SIGN = "traffic sign"
DETECTED = ("car", "truck", "pedestrian", "cyclist", "traffic light", SIGN)
MASKS = {"semantic": scenes.SEMANTIC_CLASSES, "lanes": LANES}
"""The kinds of a frame's mask, with their classes."""
SPEEDS = (2.0, 30.0)
"""The lowest and the highest speed of a driven frame, in m/s."""
_MOST = 40
"""The largest number of a frame's objects; the largest objects stay."""
_SEEN, _LEAST_PX = 0.3, 4.0
"""The visible share and the height in pixels below which nobody should have to find an object."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Frames:
    """Sets how many of the built-in frames are generated for each split, and their seed.

    Example:
        >>> import tfmo_drive as td
        >>> td.Frames(train=500).train
        500
    """

    train: int = 1000
    val: int = 100
    test: int = 300
    seed: int = 0

    def __post_init__(self):
        refuse_few(self, 16)

    def packed(
        self, split: str, shape: tuple[int, ...], mask: str = "semantic", speeds: bool = False
    ) -> PackedExamples:
        """Returns a split's frames, generated once and cached.

        Pixels are uint8 [b, h, w, channels]; targets by name are those of detections.padded, "steering" float32 [b, 1]
        in [-1, 1] and "mask" uint8 [b, h, w]. Weather and time of day are the attributes.

        Args:
            split: train, val or test.
            shape: (height, width), of RGB, or (height, width, channels).
            mask: What the mask shows, a key of MASKS.
            speeds: Whether the car drives: "speed" is then float32 [b, 1] in m/s, and the steering that of that speed.
        """
        number = self._set(split)
        generate = functools.partial(driven if speeds else generated, number, shape=shape, mask=mask)
        key = ["frame", scenes.version(), number, *whole(shape), mask, *(["speed"] if speeds else [])]
        return pack_generated(generate, getattr(self, split), key)

    def measured(
        self, split: str, shape: tuple[int, ...], measure: Callable[[scenes.Scene], float], key: object
    ) -> PackedExamples:
        """Returns a split's frames, the pixels of `packed`, each with one number, float32 [b, 1].

        Args:
            split: train, val or test.
            shape: (height, width), of RGB, or (height, width, channels).
            measure: Says the number of a scene.
            key: All that `measure` depends on, in JSON types.
        """
        number = self._set(split)

        def generate(index: int) -> Example:
            scene = scenes.draw(number, index, shape[:2])
            pixels = in_channels(scene.image, whole(shape)[2])
            return Example(pixels, np.float32([measure(scene)]), None, _conditions(scene))

        return pack_generated(generate, getattr(self, split), ["number", scenes.version(), number, *whole(shape), key])

    def _set(self, split: str) -> int:
        """Returns the number of a split's endless set of scenes."""
        return 1000 * self.seed + SPLITS.index(split)


def generated(seed: int, index: int, shape: tuple[int, ...], mask: str) -> Example:
    """Returns frame `index` of the set `seed`, with its truth."""
    found = labelled(scenes.draw(seed, index, shape[:2]), mask)
    return found._replace(pixels=in_channels(found.pixels, whole(shape)[2]))


def driven(seed: int, index: int, shape: tuple[int, ...], mask: str) -> Example:
    """Returns frame `index` of the set `seed`, at a speed that nobody sees in it: all of SPEEDS are equally likely."""
    scene = scenes.draw(seed, index, shape[:2])
    found, speed = labelled(scene, mask), np.random.default_rng([seed, index, 0x5BEED]).uniform(*SPEEDS)
    driving = {"steering": np.float32([scene.layout.road.steering(speed)]), "speed": np.float32([speed])}
    return found._replace(pixels=in_channels(found.pixels, whole(shape)[2]), label={**found.label, **driving})


def labelled(scene: scenes.Scene, mask: str) -> Example:
    """Returns a scene as an example of the cache."""
    row = padded([truth(scene)], _MOST)[0]
    label = {field: row[field] for field in row.dtype.names} | {"steering": np.float32([scene.steering])}
    shown = scene.mask if mask == "semantic" else (scene.lanes > 0).astype(np.uint8)
    return Example(scene.image, label, shown, _conditions(scene))


def _conditions(scene: scenes.Scene) -> dict[str, str]:
    """Returns the attributes of a scene's example."""
    return {"weather": scene.weather, "time of day": scene.time_of_day}


def truth(scene: scenes.Scene) -> Truth:
    """Returns the scene's objects; one that can hardly be seen is a crowd."""
    boxes = np.array([thing.box for thing in scene.objects], np.float32).reshape(-1, 4)
    kinds = [SIGN if thing.kind in SIGNS else thing.kind for thing in scene.objects]
    hidden = [thing.visible < _SEEN or thing.box[3] - thing.box[1] < _LEAST_PX for thing in scene.objects]
    sides = boxes[:, 2:] - boxes[:, :2]
    return Truth(
        boxes, np.array([DETECTED.index(kind) for kind in kinds], np.int64), np.array(hidden, bool), sides.prod(axis=1)
    )


ROAD_USERS = ("car", "truck", "pedestrian", "cyclist")


def nearest_road_user(scene: scenes.Scene, farthest: float) -> float:
    """Returns the distance to the nearest road user that can be seen, in metres, or `farthest` where none is nearer."""
    seen = [thing for thing in scene.objects if thing.kind in ROAD_USERS and thing.visible >= _SEEN]
    return min([farthest, *(thing.distance_m for thing in seen)])


class Chosen(Examples):
    """Wraps other examples with targets that are made out of theirs."""

    def __init__(self, examples: PackedExamples, choose: Callable[[Arrays], Arrays]):
        self.examples, self.choose = examples, choose
        self.groups, self.attributes, self.fingerprint = examples.groups, examples.attributes, examples.fingerprint
        self.labels, self.digests = examples.labels, examples.digests

    def __len__(self) -> int:
        return len(self.examples)

    def read(self, indices: np.ndarray) -> tuple[np.ndarray, Arrays]:
        pixels, targets = self.examples.read(indices)
        return pixels, self.choose(targets)
