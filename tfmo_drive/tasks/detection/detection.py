"""Detects objects: cars, pedestrians, signs and whatever else data has boxes of, or the built-in scenes' objects.

A ResNet50 (or another backbone) under a feature pyramid and an anchor-free head (networks.detectors.centres says why).
Boxes and scores are separate outputs; decoding and suppression stay outside the quantised graph (data.detections).
Score: COCO's mAP; beside it AP50, by object size and class, and how many pedestrians are missed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfmo_drive.base import faults
from tfmo_drive.base.keras2 import keras
from tfmo_drive.base.outputs import at
from tfmo_drive.contracts import Arrays, BadInput, Evaluation, Examples, Trivial
from tfmo_drive.data import detections
from tfmo_drive.data.augmentation import Augmentation
from tfmo_drive.data.boxes import Detections, Truth
from tfmo_drive.data.class_names import read_class_names
from tfmo_drive.data.detections import BOXES, FIELDS, SCORES, Decoding
from tfmo_drive.data.image_cache import pack
from tfmo_drive.data.layouts.boxes import box_listing
from tfmo_drive.networks import given_outputs, output_kind
from tfmo_drive.networks.backbones import MobileNetV2
from tfmo_drive.networks.detectors import SSD, Centres
from tfmo_drive.networks.networks import Network
from tfmo_drive.scenes.frames import DETECTED, Chosen, truth
from tfmo_drive.scenes.scenes import Scene
from tfmo_drive.scores import flicker, pictures
from tfmo_drive.tasks.detection.coco_score import CocoScore
from tfmo_drive.tasks.detection.miss_rate import miss_rate
from tfmo_drive.tasks.frame_task import FrameTask
from tfmo_drive.tasks.image_task import SCENES

_WALKERS = ("pedestrian", "person", "people")
"""The class names whose miss rate is reported."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Annotations:
    """Names COCO JSON files, relative to `data`; empty names are found by the usual ones."""

    train: str = ""
    val: str = ""
    test: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Detection(FrameTask):
    """Detects objects; real `data` is a folder or a file in a layout of boxes (data.layouts.boxes has one file each).

    `classes` is a file that chooses among its classes, in the order of the outputs.

    Args:
        detector: What the outputs are: `Centres` (one grid without anchors) or `SSD` (default boxes on several maps).
        channels: The width of the pyramid and the head.
        threshold: The score from which a detection is acted upon, for pictures, agreement and the ranking of images;
            the mAP looks at all of them.
        decoding: How outputs become boxes.
        annotations: The COCO JSON files that cannot be guessed; data in another layout need none.

    Example:
        >>> import tfmo_drive as td
        >>> td.Detection(image_size=(96, 128)).output_names
        ('scores', 'boxes')
    """

    detector: Centres | SSD = Centres()
    channels: int = 64
    threshold: float = 0.3
    augmentation: Augmentation = Augmentation(flip=True, zoom=0.2, shear_degrees=0.0)
    decoding: Decoding = Decoding()
    annotations: Annotations = Annotations()

    name = "detection"
    small_network = MobileNetV2(width=0.35)
    output_names = (SCORES, BOXES)
    own_settings = ("detector", "channels")
    mosaics = True
    reads_class_files = False  # layouts of boxes name their classes themselves

    def __post_init__(self):
        super().__post_init__()
        if self.channels < 4:
            raise BadInput(f"Detection.channels must be at least 4, got {self.channels}.")
        if not 0 < self.threshold < 1:
            raise BadInput(f"Detection.threshold must be in (0, 1), got {self.threshold}.")

    @faults.noting
    def listing(self):
        chosen = read_class_names(self.classes) if self.classes else None
        named = {split: name for split, name in dataclasses.asdict(self.annotations).items() if name}
        return box_listing.list_boxes(self.data, chosen, named, self.split_seed, self.skip_bad)

    @property
    def class_names(self) -> tuple[str, ...]:
        return DETECTED if self.data == SCENES else self.listing.class_names

    def packed(self, split: str) -> Examples:
        """Returns a split's pixels uint8 [b, h, w, channels] and, by name, the truths as detections.padded has them."""
        if self.data == SCENES:
            frames = self.scenes.packed(split, self.shape)
            return Chosen(frames, lambda targets: {field: targets[field] for field in FIELDS})
        found = box_listing.of_their_size(self.listing[split], self.skip_bad)
        moved = found.truths.resized(found.sizes, self.size, self.resize)
        labelled = dataclasses.replace(found, labels=detections.padded(moved))
        return pack(labelled, self.shape, self.resize, skip_bad=self.skip_bad, label=split)

    def heads(self, network: Network, backbone: keras.Model) -> list:
        if network.decodes:
            raise BadInput(
                f"task.network must be one that a detector can be put on, such as ResNet or MobileNetV2, got "
                f"{type(network).__name__}, which decodes by itself."
            )
        return self.detector.heads(backbone, len(self.class_names), self.channels)

    def ends(self) -> dict[str, tuple[int, ...]]:
        return self.detector.ends(self.size, len(self.class_names))

    def moved(self, targets, randoms):
        targets = self.augmentation.tile_truths(targets, self.size, randoms)
        boxes, kinds = self.augmentation.move_boxes(targets["boxes"], targets["classes"], self.size, randoms)
        return {**targets, "boxes": boxes, "classes": kinds}

    def encode(self, targets):
        return self.detector.encode(targets, self.size, len(self.class_names))

    def loss(self, model: keras.Model):
        return self.detector.loss

    def converted(self, model: keras.Model, subject: str) -> keras.Model:
        """Returns a given model with logits for scores, whose sigmoid a decoder takes, where they are sigmoids."""
        if output_kind.found(model, SCORES) != output_kind.SIGMOIDS:
            return model
        return given_outputs.before_sigmoids(model, SCORES, subject)

    def check_answers(self, model: keras.Model, outputs: Arrays, targets: Arrays, subject: str) -> None:
        """Raises BadInput where scores are no logits, whose sigmoid a decoder takes, or boxes no exponents."""
        if output_kind.found(model, SCORES) == output_kind.PROBABILITIES:
            raise BadInput(
                f"{subject}: its {SCORES} are a softmax, by which one class excludes all others, and a decoder takes "
                "the sigmoid of each. Train it with a sigmoid for each class, and without one for the background."
            )
        inside = np.all((outputs[SCORES] >= 0) & (outputs[SCORES] <= 1))
        if inside and np.ptp(outputs[SCORES]):
            raise BadInput(
                f"{subject}: its {SCORES} on val are all in 0..1, as probabilities are; logits are expected, whose "
                "sigmoid is the score. Save it without its last activation."
            )
        if doubt := self.detector.doubt(outputs, self.size):
            raise BadInput(f"{subject}: {doubt}")

    def distillation_loss(self, outputs, teacher, temperature: float):
        return self.detector.distillation_loss(outputs, teacher, temperature)

    def object_mask(self, targets):
        return targets["objects"]

    def evaluate(self, outputs: Arrays, targets: Mapping[str, np.ndarray]) -> Evaluation:
        """Evaluates outputs of `heads`, or a naive export's single one, against targets as `packed` gives them."""
        found, truths = self._found(outputs), detections.truths(targets)
        coco = CocoScore(found, truths, self.class_names, max(self.size))
        numbers = coco.numbers()
        numbers.pop("score", None)
        counts = coco.image_counts(self.threshold)
        captions = {
            "truth": [self._counted(np.bincount(one.classes[~one.crowd], minlength=counts.shape[1])) for one in truths],
            "says": [self._counted(one) for one in counts],
        }
        return Evaluation(
            coco.image_values(self.threshold), counts, coco.per_class(), numbers | self._missed(found, truths),
            coco.scores, captions,
        )  # fmt: skip

    def score(self, outputs: Arrays, targets: Mapping[str, np.ndarray]) -> float:
        coco = CocoScore(self._found(outputs), detections.truths(targets), self.class_names, sizes=False)
        return float(coco.scores(np.ones((1, len(targets["classes"]))))[0])

    def trivial(self, count: int) -> Trivial:
        """Returns the trivial answer: nothing is detected."""
        return Trivial("nothing", self.detector.silent(count, self.size, len(self.class_names)))

    def _found(self, outputs: Arrays) -> list[Detections]:
        return self.detector.found(outputs, self.size, self.decoding)

    def _missed(self, found: Sequence[Detections], truths: Sequence[Truth]) -> dict[str, float]:
        """Returns the miss rates of pedestrians; {} where the data knows none."""
        label = next((i for i, name in enumerate(self.class_names) if name.lower() in _WALKERS), None)
        if label is None:
            return {}
        missed = miss_rate(found, truths, label)
        return {
            "pedestrians": missed.objects,
            "miss_rate_at_0.1": missed.at_tenth,
            "miss_rate_at_1": missed.at_one,
            "log_average_miss_rate": missed.log_average,
        }

    def _counted(self, counts: np.ndarray) -> str:
        said = [f"{count} {name}" for name, count in zip(self.class_names, counts.tolist(), strict=True) if count]
        return ", ".join(said) or "nothing"

    def over_time(self, outputs: Arrays, scenes: Sequence[Scene], clips: np.ndarray) -> dict[str, float]:
        found = [one.at(one.scores >= self.threshold) for one in self._found(outputs)]
        identities = [[thing.identity for thing in scene.objects] for scene in scenes]
        return flicker.of_boxes(found, [truth(scene) for scene in scenes], identities, clips)

    def rendered(self, image: np.ndarray, outputs: Arrays) -> np.ndarray:
        (found,) = self._found(at(outputs, None))
        shown = found.at(found.scores >= self.threshold)
        return pictures.boxed(image, shown.boxes, shown.classes, self.class_names)

    def rendered_truth(self, image: np.ndarray, targets: Mapping[str, np.ndarray]) -> np.ndarray:
        (known,) = detections.truths(at(targets, None))
        return pictures.boxed(image, known.boxes[~known.crowd], known.classes[~known.crowd], self.class_names)

    def metadata(self, model: keras.Model) -> dict[str, Any]:
        described = {"task": self.name, "labels": list(self.class_names), "input": self.input_metadata()}
        return described | {"decode": {"kind": "detections", **self.detector.described(),
                                       **dataclasses.asdict(self.decoding), "threshold": self.threshold}}  # fmt: skip
