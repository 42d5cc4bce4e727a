"""Image classification: traffic signs, vehicle types, or the built-in driving scenes.

Score: accuracy (the mean over images); beside it the macro average (over classes), which a rare class can move.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from tfmo_drive.contracts import BadInput, Judgement, Preprocessing, Task
from tfmo_drive.core import images, judging, networks, own_model, scenes
from tfmo_drive.core.augmentation import Augmentation
from tfmo_drive.core.class_names import FILES, read_class_names
from tfmo_drive.core.distillation import ends_in_softmax
from tfmo_drive.core.freezing import output_names
from tfmo_drive.core.keras2 import keras
from tfmo_drive.core.listing import list_source
from tfmo_drive.core.networks import Network
from tfmo_drive.core.overrides import settings
from tfmo_drive.core.packed import PackedExamples, pack, pack_generated
from tfmo_drive.core.run_folder import file_digest

SPLITS = ("train", "val", "test")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scenes:
    """How many of the built-in images, and how hard (0 easy .. 1 hard)."""

    train: int = 5000
    val: int = 500
    test: int = 1000
    seed: int = 0
    difficulty: float = scenes.DIFFICULTY

    def __post_init__(self):
        for split in SPLITS:
            count, least = getattr(self, split), 4 * len(scenes.PATCH_CLASSES)
            if count < least:
                raise BadInput(f"Scenes.{split} must be at least {least}, got {count}.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Columns:
    """Names of a CSV's columns; empty ones are found by their usual names."""

    file: str = ""
    label: str = ""
    split: str = ""
    group: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Classification(Task):
    """`data`: "scenes" (built in), a folder of classes, or a CSV with file, label, split and perhaps group columns.

    `weights`: where training starts: none | imagenet | a "notop" .h5. `baseline`: a trained model, which is then not
    trained again: weights for `network`, or a whole Keras 2 model of your own, for which `preprocessing` (none, unit,
    tf, caffe, torch) and `classes` (a file with its class order) must be said.
    """

    data: str = "scenes"
    image_size: int = 48
    network: Network = networks.ResNet()
    weights: str = "none"
    baseline: str = ""
    classes: str = ""
    preprocessing_name: str = ""
    outputs: str = ""
    resize: images.Resize = images.Resize()
    augmentation: Augmentation = Augmentation()
    scenes: Scenes = Scenes()
    columns: Columns = Columns()
    skip_bad: bool = False
    split_seed: int = 0

    name = "classification"

    def __post_init__(self):
        if not 16 <= self.image_size <= 1024:
            raise BadInput(f"Classification.image_size must be in 16..1024 pixels, got {self.image_size}.")
        if self.outputs not in ("", "logits", "probabilities"):
            raise BadInput(f'Classification.outputs must be "", logits or probabilities, got {self.outputs!r}.')
        if self.split_seed < 0:
            raise BadInput(f"Classification.split_seed must be at least 0, got {self.split_seed}.")
        if self.preprocessing_name:
            images.preprocessing(self.preprocessing_name)

    @property
    def preprocessing(self) -> Preprocessing:
        return images.preprocessing(self.preprocessing_name or self.network.preprocessing)

    @functools.cached_property
    def _listing(self):
        names = read_class_names(self.classes) if self.classes else None
        columns = {key: value for key, value in dataclasses.asdict(self.columns).items() if value}
        return list_source(self.data, names, columns or None, seed=self.split_seed)

    @property
    def class_names(self) -> tuple[str, ...]:
        """In the order of the model's outputs."""
        return scenes.PATCH_CLASSES if self.data == "scenes" else self._listing.class_names

    @functools.cached_property
    def _splits(self) -> dict[str, PackedExamples]:
        return {split: self._packed(split) for split in SPLITS}

    def _packed(self, split: str) -> PackedExamples:
        size = self.image_size
        if self.data != "scenes":
            packed = pack(self._listing[split], (size, size), self.resize, skip_bad=self.skip_bad, label=split)
            lost = set(range(len(self.class_names))) - set(packed.labels.tolist())
            if split == "train" and lost:
                raise BadInput(f"No readable train image is left of class {self.class_names[min(lost)]}. Mend some.")
            return packed
        facts = self.scenes
        seed = [facts.seed, SPLITS.index(split)]
        draw = functools.partial(_scene, 1000 * seed[0] + seed[1], size=size, difficulty=facts.difficulty)
        key = ["patch", scenes_version(), *seed, size, facts.difficulty]
        return pack_generated(draw, getattr(facts, split), key)

    def examples(self, split: str) -> PackedExamples:
        """Pixels uint8 [b, size, size, 3] and class ids int64 [b]; decoded once, then read from one flat file."""
        return self._splits[split]

    def identity(self) -> dict[str, Any]:
        kept = ("image_size", "network", "preprocessing_name", "outputs", "resize", "augmentation")
        start = Path(self.weights)
        return {
            **{name: settings(getattr(self, name)) for name in kept},
            "classes": list(self.class_names),
            "weights": file_digest(start) if start.is_file() else self.weights,
        }

    def fingerprint(self) -> str:
        text = " ".join(self._splits[split].fingerprint for split in SPLITS)
        return hashlib.sha256(text.encode()).hexdigest()

    def build(self) -> keras.Model:
        """The untrained model, or the given baseline; input preprocessed float32 [b, size, size, 3]."""
        classes = len(self.class_names)
        if not self.baseline:
            return networks.build(self.network, self.image_size, classes, self.weights)
        path = Path(self.baseline)
        if own_model.is_whole_model(path):
            if own_model.is_stage(path):
                own_model.refuse_other_stage(path, self.preprocessing.name, list(self.class_names))
            else:
                self._require_declarations()
            return own_model.read_model(path, self.image_size, classes)
        model = networks.build(self.network, self.image_size, classes)
        networks.load_weights(model, path, "task.baseline")
        return model

    def _require_declarations(self):
        """A whole model of the user's: nothing about its inputs and outputs is guessed."""
        if not self.preprocessing_name:
            raise BadInput(
                "task.baseline is a model of your own: say how its input was made, with "
                f"--set=task.preprocessing_name=NAME, one of {', '.join(images.PREPROCESSINGS)}."
            )
        folder = Path(self.data)
        place = folder if folder.is_dir() else folder.parent
        said = self.classes or any((place / name).is_file() for name in FILES)
        if not said and self.data != "scenes":
            raise BadInput(
                "task.baseline is a model of your own: say the order of its outputs, with "
                "--set=task.classes=classes.txt (one name per line); the folders' alphabetical order may be another."
            )

    def augment(self, inputs, targets, randoms):
        return self.augmentation.apply(inputs, randoms), targets

    def gives_probabilities(self, model: keras.Model) -> bool:
        """As said in `outputs` of a model of the user's own, else whether the model ends in a softmax."""
        ours = output_names(model)[0] == networks.LOGITS
        return ends_in_softmax(model) if ours or not self.outputs else self.outputs == "probabilities"

    def loss(self, model: keras.Model) -> keras.losses.Loss:
        return keras.losses.SparseCategoricalCrossentropy(from_logits=not self.gives_probabilities(model))

    def judge(self, outputs: np.ndarray, targets: np.ndarray) -> Judgement:
        """outputs float [n, classes], targets int [n]."""
        return judging.of_classes(outputs, targets, self.class_names)

    def metadata(self, model: keras.Model) -> dict[str, Any]:
        return {
            "task": self.name,
            "labels": list(self.class_names),
            "input": {
                "height": self.image_size,
                "width": self.image_size,
                "colour_order": "RGB",
                "resize": self.resize.to_dict(),
            },
            "output": {"kind": "probabilities" if self.gives_probabilities(model) else "logits"},
        }


def _scene(seed: int, index: int, size: int, difficulty: float) -> tuple[np.ndarray, int]:
    pixels, label, _ = scenes.patch(seed, index, size, difficulty)
    return pixels, label


def scenes_version() -> str:
    """Of the drawing code, so that an old cache is never taken for its pictures."""
    folder = Path(scenes.__file__).parent
    text = b"".join(path.read_bytes() for path in sorted(folder.glob("scene*.py")))
    return hashlib.sha256(text).hexdigest()[:12]
