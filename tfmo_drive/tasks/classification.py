"""Classifies images: traffic signs, vehicle types, or the built-in driving scenes.

Score: accuracy (the mean over images); beside it the macro average (over classes), which a rare class can move.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np
from PIL import Image

from tfmo_drive.base import faults
from tfmo_drive.base.keras2 import keras
from tfmo_drive.base.outputs import names
from tfmo_drive.contracts import BadInput, Evaluation, Trivial
from tfmo_drive.data.class_names import quoted, read_class_names
from tfmo_drive.data.image_cache import PackedExamples, pack, pack_generated
from tfmo_drive.data.images import Resize, in_channels
from tfmo_drive.data.layouts.listing import list_source
from tfmo_drive.data.splitting import SPLITS, refuse_few, refuse_unlearnable
from tfmo_drive.networks import networks, output_kind
from tfmo_drive.networks.networks import Network
from tfmo_drive.scenes import scenes
from tfmo_drive.scores import evaluation
from tfmo_drive.tasks.image_task import SCENES, ImageTask
from tfmo_drive.training import distillation


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scenes:
    """Sets how many built-in images each split has, their seed, and how hard they are (0 easy .. 1 hard).

    Example:
        >>> import tfmo_drive as td
        >>> td.Scenes(train=3000).test
        1000
    """

    train: int = 5000
    val: int = 500
    test: int = 1000
    seed: int = 0
    difficulty: float = scenes.DIFFICULTY

    def __post_init__(self):
        refuse_few(self, 4 * len(scenes.PATCH_CLASSES))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Columns:
    """Names a CSV's columns; empty names are found by the usual ones."""

    file: str = ""
    label: str = ""
    split: str = ""
    group: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Classification(ImageTask):
    """Classifies whole images by what they show.

    Real `data` is a folder of classes, or a CSV with file, label, split and perhaps group columns.

    Args:
        outputs: "logits", "probabilities" or "sigmoids", for a model of your own whose graph does not tell which.
        scenes: The built-in images.
        columns: The CSV's columns that cannot be guessed.

    The other settings are those of every task on images (`ImageTask`).

    Example:
        >>> import tfmo_drive as td
        >>> td.Classification(image_size=32).size
        (32, 32)
    """

    outputs: str = ""
    scenes: Scenes = Scenes()
    columns: Columns = Columns()

    name, default_size = "classification", (48, 48)
    output_names = (networks.LOGITS,)
    own_settings = ("outputs",)

    def __post_init__(self):
        super().__post_init__()
        output_kind.refuse_unknown("Classification.outputs", self.outputs)

    @faults.noting
    def listing(self):
        known = read_class_names(self.classes) if self.classes else None
        columns = {key: value for key, value in dataclasses.asdict(self.columns).items() if value}
        listing = list_source(self.data, known, columns or None, seed=self.split_seed, skip_bad=self.skip_bad)
        labels = {split: listing[split].labels for split in SPLITS}
        shown = np.unique(np.concatenate(list(labels.values())))
        if len(shown) < 2:
            raise BadInput(
                f"{self.data}: all images are of one class, {quoted([listing.class_names[shown[0]]])}. Give images of "
                "two or more; where that is the folder that holds the classes, name it with --data=."
            )
        if not self.baseline:
            refuse_unlearnable(self.data, listing.class_names, labels)
        return listing

    @property
    def class_names(self) -> tuple[str, ...]:
        return scenes.PATCH_CLASSES if self.data == SCENES else self.listing.class_names

    def packed(self, split: str) -> PackedExamples:
        """Returns a split's pixels uint8 [b, h, w, channels] and class ids int64 [b]."""
        if self.data != SCENES:
            packed = pack(self.listing[split], self.shape, self.resize, skip_bad=self.skip_bad, label=split)
            lost = set(self.listing[split].labels.tolist()) - set(packed.labels.tolist())
            if split == "train" and lost:
                raise BadInput(f"No readable train image is left of class {self.class_names[min(lost)]}. Mend some.")
            return packed
        facts, seed = self.scenes, [self.scenes.seed, SPLITS.index(split)]
        draw = functools.partial(_scene, 1000 * seed[0] + seed[1], shape=self.shape, difficulty=facts.difficulty)
        key = ["patch", scenes.version(), *seed, self.shape, facts.difficulty]
        return pack_generated(draw, getattr(facts, split), key)

    def heads(self, network: Network, backbone: keras.Model) -> list:
        return [network.head(backbone.output, len(self.class_names))]

    def ends(self) -> dict[str, tuple[int, ...]]:
        return {networks.LOGITS: (len(self.class_names),)}

    def _kind(self, model: keras.Model) -> str:
        return output_kind.of(model, names(model)[0], self.outputs, f"{self.place}.outputs")

    def logits(self, model: keras.Model):
        return functools.partial(output_kind.logits, kind=self._kind(model))

    def check_answers(self, model: keras.Model, outputs: np.ndarray, targets: np.ndarray, subject: str) -> None:
        asked = output_kind.Asked(model, names(model)[0], self.outputs, f"{self.place}.outputs", subject)
        output_kind.refuse_other_kind(asked, outputs)

    def loss(self, model: keras.Model):
        return output_kind.cross_entropy(self._kind(model))

    def distillation_loss(self, outputs, teacher, temperature: float):
        return distillation.distillation_loss(outputs, teacher, temperature)

    def evaluate(self, outputs: np.ndarray, targets: np.ndarray) -> Evaluation:
        """Evaluates outputs float [n, classes] against class ids int [n]."""
        return evaluation.of_classes(outputs, targets, self.class_names)

    def trivial(self, count: int) -> Trivial:
        return evaluation.always_class(self.examples("train").labels, self.class_names, count)

    def metadata(self, model: keras.Model) -> dict[str, Any]:
        return {
            "task": self.name,
            "labels": list(self.class_names),
            "input": self.input_metadata(),
            "decode": output_kind.decode(self._kind(model)),
        }


def _scene(seed: int, index: int, shape: tuple[int, int, int], difficulty: float) -> tuple[np.ndarray, int]:
    """Returns a square patch, of another shape as `Resize` stretches it."""
    height, width, channels = shape
    pixels, label, _ = scenes.patch(seed, index, max(height, width), difficulty)
    if height != width:
        pixels = np.asarray(Resize()(Image.fromarray(pixels), (height, width)))
    return in_channels(pixels, channels), label
