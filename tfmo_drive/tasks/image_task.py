"""Holds what every task on images shares: where images come from, the network, where training starts, the baseline."""

from __future__ import annotations

import abc
import dataclasses
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Self

from absl import logging

from tfmo_drive.base import faults
from tfmo_drive.base.given_file import paths_as_text
from tfmo_drive.base.keras2 import keras
from tfmo_drive.base.overrides import settings
from tfmo_drive.base.run_folder import file_digest
from tfmo_drive.contracts import BadInput, Examples, Preprocessing, Task
from tfmo_drive.data import images, overview, preprocessing_text
from tfmo_drive.data.augmentation import COLUMNS, Augmentation
from tfmo_drive.data.class_names import FILES
from tfmo_drive.data.layouts.known_layouts import unwrapped
from tfmo_drive.data.repeated import say_repeated, without_repeated
from tfmo_drive.data.splitting import SPLITS, Listing
from tfmo_drive.networks import networks, own_model
from tfmo_drive.networks.backbones import ResNet, SmallCNN
from tfmo_drive.networks.networks import Network
from tfmo_drive.networks.own_model import Signature
from tfmo_drive.training import given_model, given_shape

SIDES, GIVEN_SIDES = (16, 1024), (1, 4096)
"""The least and the largest side of images in pixels: for networks of ours, and for a given model of somebody's own."""
KEEP, DROP = "keep", "drop"
"""The values of `duplicates`."""
SCENES = "scenes"
"""The value of `data` for the built-in driving scenes."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageTask(Task):
    """Defines a task on images.

    Args:
        data: "scenes" (built in), or the path of real images.
        image_size: (height, width) in pixels, or the side of square images; None: as a given model takes them, else the
            task's own.
        network: The backbone and its head.
        weights: Where training starts: "none", "imagenet" or the path of a "notop" .h5 file.
        baseline: A trained model, which is then not trained again: weights for `network`, or a whole model of your
            own (Keras, or `.tflite`), for which `preprocessing_name` and `classes` must be given.
        classes: A file with the class order.
        preprocessing_name: "none", "unit", "tf", "caffe", "torch", or a line such as "bgr/255", "rgb/127.5-1",
            "(grey-127.5)/60" or "yuv/255" (data.preprocessing_text); "" takes the network's own.
        resize: The rule of resizing.
        augmentation: The random changes in training.
        skip_bad: Whether images that cannot be used are skipped.
        duplicates: "keep", or "drop": leave out of train what val or test shows too, pixel by pixel.
        split_seed: The seed of sampled splits.
        allow_code: Whether code inside the files of models (a Lambda layer) may run; by default they are refused.
    """

    data: str = SCENES
    image_size: int | tuple[int, int] | None = None
    network: Network = ResNet()
    weights: str = "none"
    baseline: str = ""
    classes: str = ""
    preprocessing_name: str = ""
    resize: images.Resize = images.Resize()
    augmentation: Augmentation = Augmentation()
    skip_bad: bool = False
    duplicates: str = KEEP
    split_seed: int = 0
    allow_code: bool = dataclasses.field(default=False, compare=False)
    place: str = dataclasses.field(default="task", init=False, compare=False)
    """The path of its settings, which is no setting itself: "task.parts.0" for a part of several tasks."""

    randoms: ClassVar[int] = COLUMNS
    small_network: ClassVar[Network] = SmallCNN()
    default_size: ClassVar[tuple[int, int]]
    """(height, width) in pixels where neither a setting nor a given model says another."""
    output_names: ClassVar[tuple[str, ...]]
    """The outputs' names, in their order."""
    own_settings: ClassVar[tuple[str, ...]] = ()
    """The settings of the concrete task that a trained model depends on."""
    given_settings: ClassVar[tuple[str, ...]] = ()
    """The settings that describe a given model alone: no model depends on them where they are not set."""
    mosaics: ClassVar[bool] = False
    """Whether what four images show can be told of one that is made of them."""
    mask_classes: ClassVar[tuple[str, ...]] = ()
    """The classes whose colours lie over images that it draws."""
    reads_class_files: ClassVar[bool] = True
    """Whether classes.json or classes.txt beside the data gives the order of the outputs."""

    def __post_init__(self):
        paths_as_text(self)
        kind = type(self).__name__
        self._refuse_size(kind)
        if isinstance(name := getattr(type(self), "output_names", ()), str):
            raise BadInput(f'{kind}.output_names must be a tuple of names, got "{name}". Write ("{name}",).')
        if not self.data.strip():
            raise BadInput(f'{kind}.data must not be empty. Name a folder or a file, or "{SCENES}".')
        if self.split_seed < 0:
            raise BadInput(f"{kind}.split_seed must be at least 0, got {self.split_seed}.")
        if self.augmentation.mosaic and not self.mosaics:
            raise BadInput(f"{kind}.augmentation.mosaic must be 0: what four images show together is no answer of it.")
        if self.duplicates not in (KEEP, DROP):
            raise BadInput(f'{kind}.duplicates must be "{KEEP}" or "{DROP}", got "{self.duplicates}".')
        if self.preprocessing_name:
            preprocessing_text.channels(self.preprocessing_name)

    def _refuse_size(self, kind: str) -> None:
        if (sides := self._said_size) is None:
            return
        least, most = GIVEN_SIDES if self.baseline else SIDES
        pair = isinstance(sides, tuple) and len(sides) == 2
        if not pair or not all(isinstance(side, int) and least <= side <= most for side in sides):
            raise BadInput(
                f"{kind}.image_size must be (height, width) or the side of square images, in {least}..{most} pixels, "
                f"got {self.image_size}."
            )

    @property
    def _said_size(self) -> tuple[int, int] | None:
        return (self.image_size,) * 2 if isinstance(self.image_size, int) else self.image_size

    @functools.cached_property
    def shape(self) -> tuple[int, int, int]:
        """Returns (height, width, channels) of the images that the model takes.

        What no setting says, a given model does.
        """
        said, (height, width, channels) = preprocessing_text.channels(self.preprocessing_name or "x"), self._given_shape
        sizes = zip(self._said_size or (None, None), (height, width), self.default_size, strict=True)
        height, width = (next(side for side in sides if side) for sides in sizes)
        return height, width, said or channels or 3

    @functools.cached_property
    def _given_shape(self) -> tuple[int | None, int | None, int | None]:
        """Returns (height, width, channels) of the images that a given model takes, as far as its file says."""
        found = given_shape.image_shape(Path(self.baseline)) if self.baseline else None
        return found or (None, None, None)

    @property
    def size(self) -> tuple[int, int]:
        """Returns (height, width) of the images that the model takes, in pixels."""
        return self.shape[:2]

    listing: ClassVar[Listing]
    """The real data's images and what they show, listed when first asked for."""

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

    @functools.cached_property
    def preprocessing(self) -> Preprocessing:
        """Returns the preprocessing: the given one, or the network's own; none of a file that has it inside."""
        inside = self.baseline and own_model.made_here(Path(self.baseline))
        text = "none" if inside else self.preprocessing_name or self.network.preprocessing
        return preprocessing_text.preprocessing(text, self.shape[2])

    @faults.noting
    def _splits(self) -> dict[str, Examples]:
        splits = {split: self.packed(split) for split in SPLITS}
        if self.data == SCENES:
            return splits
        for sentence in self.data_sentences():
            faults.note(self.data, sentence, logging.INFO)
        if self.duplicates == DROP:
            splits = without_repeated(self.data, splits)
        say_repeated(self.data, splits, self.class_names)
        return splits

    def data_sentences(self) -> Iterator[str]:
        """Yields what there is to know of the data before training, a sentence each."""
        if self.data == SCENES:
            return overview.of_scenes(self.counts(), self.size, self.class_names)
        return overview.sentences(self.listing, self.size, self.resize, Path(self.data), self.skip_bad)

    def with_listing(self, listing: Listing) -> Self:
        """Returns the same task on other images, listed already."""
        other = dataclasses.replace(self)
        object.__setattr__(other, "listing", listing)
        return other

    def examples(self, split: str) -> Examples:
        return self._splits[split]

    def counts(self) -> dict[str, int]:
        """Returns the number of images listed for each split; none is opened, so that one may yet be refused."""
        if self.data == SCENES:
            return {split: getattr(self.scenes, split) for split in SPLITS}
        return {split: len(self.listing[split]) for split in SPLITS}

    def given(self) -> str:
        return file_digest(Path(self.baseline)) if self.baseline else ""

    def identity(self) -> dict[str, Any]:
        kept = ("network", "preprocessing_name", "resize", "augmentation", *self.own_settings)
        kept += tuple(name for name in self.given_settings if getattr(self, name) not in ("", None, ()))
        start = Path(self.weights)
        return {
            **{name: settings(getattr(self, name)) for name in kept},
            "image_size": list(self.size),
            "image_channels": self.shape[2],
            "classes": list(self.class_names),
            "weights": file_digest(start) if start.is_file() else self.weights,
        }

    def assembled(self, network: Network, weights: str) -> keras.Model:
        """Returns `network` with the task's outputs, starting from `weights`."""
        backbone = networks.started(network, self.shape, weights)
        outputs = self.heads(network, backbone)
        return keras.Model(backbone.input, outputs if len(outputs) > 1 else outputs[0], name=backbone.name)

    def build(self, network: Network | None = None) -> keras.Model:
        """Returns the untrained model, or the given baseline.

        Its input is preprocessed float32 [b, height, width, channels].
        """
        if network is not None:
            return self.assembled(network, "none")
        if not self.baseline:
            return self.assembled(self.network, self.weights)
        own = functools.partial(self.assembled, self.network, "none")
        return given_model.baseline(Path(self.baseline), own, self, self.undeclared)

    def ends(self) -> dict[str, tuple[int, ...]]:
        """Returns the shapes of a model's outputs for one image, by name, whatever its layers."""
        return dict(Signature.of(self.assembled(self.network, "none")).outputs)

    def signature(self) -> Signature:
        """Returns the shapes that a model must take and give."""
        return Signature(self.shape, self.ends())

    def undeclared(self) -> Iterator[str]:
        """Yields what a user must still say of a whole model, as "how its input was made, with --set=...".

        Nothing about a given model is guessed.
        """
        if not self.preprocessing_name:
            yield (f"how its input was made, with --set=task.preprocessing_name=NAME, one of {preprocessing_text.HOW}")
        height, width, images = self._given_shape  # a model of clips takes none, whatever is said
        if images and None in (height, width) and not self.image_size:
            yield "which size of images it was trained on, with --set=task.image_size=HEIGHT,WIDTH"
        folder = unwrapped(Path(self.data))
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
        return images.described(self.shape, self.resize, self.preprocessing.each[0].name)
