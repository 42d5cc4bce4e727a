"""Holds what every task on images shares: where images come from, the network, where training starts, the baseline."""

from __future__ import annotations

import abc
import dataclasses
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from tfmo_drive.base.keras2 import keras
from tfmo_drive.base.overrides import settings
from tfmo_drive.base.run_folder import file_digest
from tfmo_drive.contracts import BadInput, Examples, Preprocessing, Task
from tfmo_drive.data import images
from tfmo_drive.data.augmentation import COLUMNS, Augmentation
from tfmo_drive.data.class_names import FILES
from tfmo_drive.data.repeated import say_repeated
from tfmo_drive.data.splitting import SPLITS
from tfmo_drive.networks import networks, own_model
from tfmo_drive.networks.backbones import ResNet
from tfmo_drive.networks.networks import Network
from tfmo_drive.training import given_model

SCENES = "scenes"
"""The value of `data` for the built-in driving scenes."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageTask(Task):
    """Defines a task on images.

    Args:
        data: "scenes" (built in), or the path of real images.
        network: The backbone and its head.
        weights: Where training starts: "none", "imagenet" or the path of a "notop" .h5 file.
        baseline: A trained model, which is then not trained again: weights for `network`, or a whole Keras 2 model of
            your own, for which `preprocessing_name` and `classes` must be given.
        classes: A file with the class order.
        preprocessing_name: "none", "unit", "tf", "caffe" or "torch"; "" takes the network's own.
        resize: The rule of resizing.
        augmentation: The random changes in training.
        skip_bad: Whether images that cannot be used are skipped.
        split_seed: The seed of sampled splits.
        allow_code: Whether code inside the files of models (a Lambda layer) may run; by default they are refused.
    """

    data: str = SCENES
    network: Network = ResNet()
    weights: str = "none"
    baseline: str = ""
    classes: str = ""
    preprocessing_name: str = ""
    resize: images.Resize = images.Resize()
    augmentation: Augmentation = Augmentation()
    skip_bad: bool = False
    split_seed: int = 0
    allow_code: bool = dataclasses.field(default=False, compare=False)
    place: str = dataclasses.field(default="task", init=False, compare=False)
    """The path of its settings, which is no setting itself: "task.parts.0" for a part of several tasks."""

    randoms: ClassVar[int] = COLUMNS
    output_names: ClassVar[tuple[str, ...]]
    """The outputs' names, in their order."""
    own_settings: ClassVar[tuple[str, ...]] = ()
    """The settings of the concrete task that a trained model depends on."""
    given_settings: ClassVar[tuple[str, ...]] = ()
    """The settings that describe a given model alone: no model depends on them where they are not set."""
    reads_class_files: ClassVar[bool] = True
    """Whether classes.json or classes.txt beside the data gives the order of the outputs."""

    def __post_init__(self):
        kind = type(self).__name__
        if len(self.size) != 2 or not all(isinstance(side, int) and 16 <= side <= 1024 for side in self.size):
            square = isinstance(type(self).image_size, int)
            wanted = "a side of square images" if square else "(height, width)"
            raise BadInput(f"{kind}.image_size must be {wanted}, in 16..1024 pixels, got {self.image_size}.")
        if isinstance(name := getattr(type(self), "output_names", ()), str):
            raise BadInput(f'{kind}.output_names must be a tuple of names, got "{name}". Write ("{name}",).')
        if not self.data.strip():
            raise BadInput(f'{kind}.data must not be empty. Name a folder or a file, or "{SCENES}".')
        if self.split_seed < 0:
            raise BadInput(f"{kind}.split_seed must be at least 0, got {self.split_seed}.")
        if self.preprocessing_name:
            images.preprocessing(self.preprocessing_name)

    @property
    @abc.abstractmethod
    def size(self) -> tuple[int, int]:
        """Returns (height, width) of the images that the model takes, in pixels."""

    @property
    @abc.abstractmethod
    def class_names(self) -> tuple[str, ...]:
        """Returns the classes' names in the order of the model's outputs; () where it predicts no class."""

    @abc.abstractmethod
    def heads(self, network: Network, backbone: keras.Model) -> list:
        """Returns the task's outputs (Keras tensors, each of a layer named after it) on the backbone of `network`."""

    @abc.abstractmethod
    def packed(self, split: str) -> Examples:
        """Returns one split, decoded once and then read from one flat file, whose content has a `fingerprint`."""

    @property
    def preprocessing(self) -> Preprocessing:
        """Returns the preprocessing: the given one, or the network's own; none of a file that has it inside."""
        if self.baseline and own_model.made_here(Path(self.baseline)):
            return images.preprocessing("none")
        return images.preprocessing(self.preprocessing_name or self.network.preprocessing)

    @functools.cached_property
    def _splits(self) -> dict[str, Examples]:
        splits = {split: self.packed(split) for split in SPLITS}
        if self.data != SCENES:
            say_repeated(self.data, splits, self.class_names)
        return splits

    def examples(self, split: str) -> Examples:
        return self._splits[split]

    def counts(self) -> dict[str, int]:
        """Returns the number of images listed for each split; none is opened, so that one may yet be refused."""
        if self.data == SCENES:
            return {split: getattr(self.scenes, split) for split in SPLITS}
        return {split: len(self._listing[split]) for split in SPLITS}

    def given(self) -> str:
        return file_digest(Path(self.baseline)) if self.baseline else ""

    def identity(self) -> dict[str, Any]:
        kept = ("image_size", "network", "preprocessing_name", "resize", "augmentation", *self.own_settings)
        kept += tuple(name for name in self.given_settings if getattr(self, name) not in ("", None))
        start = Path(self.weights)
        return {
            **{name: settings(getattr(self, name)) for name in kept},
            "classes": list(self.class_names),
            "weights": file_digest(start) if start.is_file() else self.weights,
        }

    def assembled(self, network: Network, weights: str) -> keras.Model:
        """Returns `network` with the task's outputs, starting from `weights`."""
        backbone = networks.started(network, self.size, weights)
        outputs = self.heads(network, backbone)
        return keras.Model(backbone.input, outputs if len(outputs) > 1 else outputs[0], name=backbone.name)

    def build(self, network: Network | None = None) -> keras.Model:
        """Returns the untrained model, or the given baseline.

        Its input is preprocessed float32 [b, height, width, 3].
        """
        if network is not None:
            return self.assembled(network, "none")
        if not self.baseline:
            return self.assembled(self.network, self.weights)
        own = self.assembled(self.network, "none")
        return given_model.baseline(Path(self.baseline), own, self, self.undeclared)

    def undeclared(self) -> Iterator[str]:
        """Yields what a user must still say of a whole model, as "how its input was made, with --set=...".

        Nothing about a given model is guessed.
        """
        if not self.preprocessing_name:
            yield (
                "how its input was made, with --set=task.preprocessing_name=NAME, one of "
                f"{', '.join(images.PREPROCESSINGS)}"
            )
        folder = Path(self.data)
        place = folder if folder.is_dir() else folder.parent
        said = self.classes or (self.reads_class_files and any((place / name).is_file() for name in FILES))
        if self.class_names and not said and self.data != SCENES:
            yield (
                f"the order of its outputs, with --set={self.place}.classes=classes.txt (one name per line), for the "
                "data's order may be another"
            )

    def augment(self, inputs, targets, randoms):
        return self.augmentation.apply(inputs, randoms), self.moved(targets, randoms)

    def moved(self, targets, randoms):
        """Returns the targets of images that the augmentation changes by `randoms` (TensorFlow graph code)."""
        return targets

    def input_metadata(self) -> dict[str, Any]:
        """Returns how a board makes the model's input, in JSON types."""
        height, width = self.size
        return {"height": height, "width": width, "colour_order": "RGB", "resize": self.resize.to_dict()}
