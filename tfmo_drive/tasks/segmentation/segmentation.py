"""Segments images: a class for every pixel of a street, or the lane lines of the built-in scenes.

A ResNet50 (or another backbone) under a feature pyramid, then bilinear up-sampling of the logits inside the graph,
which keeps their scale and is exact in int8. Score: mean IoU; beside it every class's, road and pedestrians by name,
the share of pixels that are right, and, of lanes, TuSimple's accuracy.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tfmo_drive.base import faults
from tfmo_drive.base.keras2 import keras, tf
from tfmo_drive.base.outputs import names
from tfmo_drive.contracts import BadInput, Evaluation, Examples, Trivial
from tfmo_drive.data.augmentation import Augmentation
from tfmo_drive.data.class_names import quoted, read_class_names
from tfmo_drive.data.image_cache import pack
from tfmo_drive.data.lanes import LANES
from tfmo_drive.data.layouts.masks.mask_listing import list_masks
from tfmo_drive.data.mask_files import IGNORE
from tfmo_drive.data.splitting import SPLITS
from tfmo_drive.networks import decoders, output_kind
from tfmo_drive.networks.backbones import MobileNetV2
from tfmo_drive.networks.networks import Network
from tfmo_drive.scenes.frames import MASKS, Chosen, labelled
from tfmo_drive.scenes.scenes import Scene
from tfmo_drive.scores import flicker, pictures
from tfmo_drive.scores.evaluation import alike
from tfmo_drive.tasks.frame_task import FrameTask
from tfmo_drive.tasks.image_task import SCENES
from tfmo_drive.tasks.segmentation.class_balance import class_weights
from tfmo_drive.tasks.segmentation.lane_accuracy import lane_numbers
from tfmo_drive.tasks.segmentation.segmentation_score import decided, overlaps
from tfmo_drive.training import distillation

MASK = "mask"
_NAMED = {"iou_road": ("road",), "iou_pedestrian": ("pedestrian", "person")}
"""The numbers of a row, and the names that the class may have."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Segmentation(FrameTask):
    """Segments images; real `data` is a folder of images and masks, or of images and lanes (data/README.md).

    `classes` is a file with the names of the ids, where there is no classes.json.

    Args:
        channels: The width of the pyramid, where the network does not decode by itself as a UNet does.
        outputs: "logits", "probabilities" or "sigmoids", for a model of your own whose graph does not tell which.
        shown: The masks of the built-in scenes, "semantic" or "lanes".
        balance: Whether rare classes count more in training (tasks.segmentation.class_balance).
        ignore: An id of the files that is no class, beside 255.

    Example:
        >>> import tfmo_drive as td
        >>> td.Segmentation().output_names
        ('mask',)
    """

    channels: int = 64
    outputs: str = ""
    shown: str = "semantic"
    balance: bool = True
    ignore: int | None = None
    augmentation: Augmentation = Augmentation(flip=True, zoom=0.2)

    name = "segmentation"
    small_network = MobileNetV2(width=0.35)
    output_names = (MASK,)
    mosaics = True
    own_settings = ("channels", "shown", "balance")
    given_settings = ("outputs",)

    def __post_init__(self):
        super().__post_init__()
        output_kind.refuse_unknown("Segmentation.outputs", self.outputs)
        if self.channels < 4:
            raise BadInput(f"Segmentation.channels must be at least 4, got {self.channels}.")
        if self.shown not in MASKS:
            raise BadInput(f"Segmentation.shown must be one of {', '.join(MASKS)}, got {self.shown!r}.")
        if self.ignore is not None and not 0 <= self.ignore <= IGNORE:
            raise BadInput(f"Segmentation.ignore must be an id in 0..{IGNORE}, or none, got {self.ignore}.")

    @faults.noting
    def listing(self):
        names = read_class_names(self.classes) if self.classes else None
        return list_masks(self.data, names, self.ignore, self.split_seed, self.skip_bad)

    @property
    def class_names(self) -> tuple[str, ...]:
        return MASKS[self.shown] if self.data == SCENES else self.listing.class_names

    @functools.cached_property
    def _packs(self) -> dict[str, Examples]:
        """Returns every split, opened once, though a multi-task asks for them as well."""
        return {split: self._pack(split) for split in SPLITS}

    @property
    def mask_classes(self) -> tuple[str, ...]:
        return self.class_names

    def _pack(self, split: str) -> Examples:
        if self.data == SCENES:
            return Chosen(self.scenes.packed(split, self.shape, self.shown), lambda targets: targets["mask"])
        return pack(self.listing[split], self.shape, self.resize, skip_bad=self.skip_bad, label=split)

    @functools.cached_property
    def _train_pixels(self) -> np.ndarray:
        """Returns how many pixels of train show each class, int64 [classes]."""
        return sum(_pixels(self._packs["train"], len(self.class_names)))

    def packed(self, split: str) -> Examples:
        """Returns a split's pixels uint8 [b, h, w, channels] and masks uint8 [b, h, w]: class ids, or IGNORE.

        Raises BadInput where train shows fewer than two classes, or val or test none.
        """
        examples = self._packs[split]
        if split == "train":
            self._refuse_unseen()
        elif not any(shown.any() for shown in _pixels(examples, len(self.class_names))):
            raise BadInput(
                f"{self.data}: the masks of {split} must show a class, got only ignored pixels. "
                f"Label some of its images; {IGNORE} means ignored."
            )
        return examples

    def _refuse_unseen(self):
        """Raises BadInput where train shows one class only: always answering it would score 100 %."""
        seen = [name for name, count in zip(self.class_names, self._train_pixels, strict=True) if count]
        absent = [name for name in self.class_names if name not in seen]
        if len(seen) < 2:
            raise BadInput(
                f"{self.data}: the masks of train must show two classes or more, got {quoted(seen) or 'none'}. "
                f"{IGNORE} means ignored: masks of two classes should hold 0 and 1."
            )
        if absent:
            faults.note(self.data, f"no training pixel of class {quoted(absent)}, so it cannot be learned.")

    def heads(self, network: Network, backbone: keras.Model) -> list:
        features = decoders.fine_map(network, backbone, self.channels, "segmentation")
        stride = self.size[0] // features.shape[1]
        name = MASK if stride == 1 else f"{MASK}_logits"
        logits = keras.layers.Conv2D(len(self.class_names), 1, name=name)(features)
        if stride == 1:
            return [logits]
        return [keras.layers.UpSampling2D(stride, interpolation="bilinear", name=MASK)(logits)]

    def ends(self) -> dict[str, tuple[int, ...]]:
        return {MASK: (*self.size, len(self.class_names))}

    def moved(self, targets, randoms):
        return self.augmentation.move_masks(targets, randoms)

    @functools.cached_property
    def _class_weights(self) -> np.ndarray:
        return class_weights(self._train_pixels) if self.balance else np.ones(len(self.class_names), np.float32)

    def _output(self, model: keras.Model) -> str:
        """Returns the name of the model's only output, or of the task's own among those of several tasks."""
        return names(model)[0] if len(model.outputs) == 1 else MASK

    def _kind(self, model: keras.Model) -> str:
        return output_kind.of(model, self._output(model), self.outputs, f"{self.place}.outputs")

    def logits(self, model: keras.Model):
        return functools.partial(output_kind.logits, kind=self._kind(model))

    def check_answers(self, model: keras.Model, outputs: np.ndarray, targets: np.ndarray, subject: str) -> None:
        asked = output_kind.Asked(model, self._output(model), self.outputs, f"{self.place}.outputs", subject)
        output_kind.refuse_other_kind(asked, outputs)

    def loss(self, model: keras.Model):
        return functools.partial(_cross_entropy, tf.constant(self._class_weights), kind=self._kind(model))

    def distillation_loss(self, outputs, teacher, temperature: float):
        return distillation.distillation_loss(outputs, teacher, temperature)

    def evaluate(self, outputs: np.ndarray, targets: np.ndarray) -> Evaluation:
        """Evaluates logits or probabilities float [n, h, w, classes] against masks uint8 [n, h, w]."""
        counts = overlaps(outputs, targets, len(self.class_names))
        classes, values = counts.per_class(self.class_names), counts.values
        more = {"pixel_accuracy": counts.pixel_accuracy}
        for number, words in _NAMED.items():
            known = next((name for name in classes if name.lower() in words), None)
            more |= {number: classes[known]["score"]} if known else {}
        captions = {"truth": [""] * len(values), "says": [f"mean IoU {value:.2f}" for value in values]}
        decisions = decided(outputs, targets.shape[1:])
        more |= lane_numbers(decisions, targets) if self.class_names == LANES else {}
        return Evaluation(values, decisions, classes, more, counts.scores, captions, constant=alike(decisions))

    def trivial(self, count: int) -> Trivial:
        """Returns the trivial answer: the class of most training pixels, everywhere."""
        label = int(self._train_pixels.argmax())
        masks = np.broadcast_to(np.uint8(label), (count, *self.size))
        return Trivial(f'"{self.class_names[label]}" everywhere', masks)

    def over_time(self, outputs: np.ndarray, scenes: Sequence[Scene], clips: np.ndarray) -> dict[str, float]:
        masks = np.stack([labelled(scene, self.shown).mask for scene in scenes])
        return flicker.of_pixels(decided(outputs, self.size), masks, clips)

    def rendered(self, image: np.ndarray, outputs: np.ndarray) -> np.ndarray:
        return self.rendered_truth(image, decided(outputs[None], image.shape[:2])[0])

    def rendered_truth(self, image: np.ndarray, targets: np.ndarray) -> np.ndarray:
        return pictures.masked(image, targets, self.class_names)

    def metadata(self, model: keras.Model) -> dict[str, Any]:
        rule = "class = arg max over the last axis"
        decode = {"kind": f"segmentation {self._kind(model)}", "rule": rule, "ignored": IGNORE}
        return {"task": self.name, "labels": list(self.class_names), "input": self.input_metadata(), "decode": decode}


def _pixels(examples: Examples, classes: int) -> Iterator[np.ndarray]:
    """Yields, example after example, how many of its pixels show each class: int64 [classes]."""
    for index in range(len(examples)):
        masks = examples.read(np.array([index]))[1]
        yield np.bincount(masks.ravel(), minlength=IGNORE + 1)[:classes]


def _cross_entropy(class_weights, masks, outputs, kind: str = output_kind.LOGITS):
    """Computes the mean over pixels that are not ignored, each weighted as its class is."""
    known = masks != IGNORE
    labels = tf.where(known, tf.cast(masks, tf.int32), 0)
    losses = output_kind.losses(labels, outputs, kind)
    weights = tf.where(known, tf.gather(class_weights, labels), 0.0)
    return tf.reduce_sum(weights * losses) / tf.maximum(tf.reduce_sum(weights), 1.0)
