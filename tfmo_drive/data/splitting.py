"""Splits data into train, val and test: as given, or sampled with classes in proportion and groups whole.

Frames of one track look alike, so a track (group) never crosses splits: a score on frames of training tracks is not a
score on new signs (GTSRB is split by track for this reason: Stallkamp et al., Man vs. computer, 2012).
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import numpy as np
from absl import logging

from tfmo_drive.base.faults import counted, note
from tfmo_drive.base.spelling import suggestion
from tfmo_drive.contracts import BadInput
from tfmo_drive.data.class_names import quoted
from tfmo_drive.data.copies import joined, same_content
from tfmo_drive.data.found_files import identities, identity
from tfmo_drive.data.paths import Paths

SPLITS = ("train", "val", "test")
SPLIT_WORDS = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test",
    "testing": "test",
}  # fmt: skip
"""Words for a split in names of folders and files and in columns, in lower case, and the split that each means."""
_NO_WORDS = ("set", "data", "dataset", "images")
"""Words beside that of a split in folders' names."""
FRACTIONS = {"train": 0.7, "val": 0.15, "test": 0.15}
"""The shares of train, val and test of data without splits of its own."""


def split_of_folder(name: str) -> str:
    """Returns the split of a folder that is called as one and nothing else (train, training_set, val2017), or ""."""
    words = re.split("[ _-]", re.sub("[ _-]?(19|20)[0-9]{2}$", "", name.lower()))
    words = [word for word in words if word not in _NO_WORDS]
    return SPLIT_WORDS.get(words[0], "") if len(words) == 1 else ""


def split_in_name(name: str) -> str:
    """Returns the split that a file's or folder's name tells (instances_train2017: train), or ""."""
    return next((SPLIT_WORDS[word] for word in re.findall("[a-z]+", name.lower()) if word in SPLIT_WORDS), "")


def split_of_path(path: Path, root: Path) -> str:
    """Returns the split that a path's name tells, or the nearest of its folders below `root`; "" where none does."""
    names = path.relative_to(root).parts if root in path.parents else (path.name,)
    return next(filter(None, map(split_in_name, reversed(names))), "")


@dataclasses.dataclass(frozen=True)
class Split:
    """Lists the images of one split in a fixed order.

    Args:
        files: The image files.
        labels: int64 [n] in [0, classes), float32 [n, k], or several by name (a structured array [n]).
        groups: int64 [n]; images of one group are not independent.
        attributes: The names from which slices are made: {"weather": a name for every image, str [n]}.
    """

    files: Sequence[Path]
    labels: np.ndarray
    groups: np.ndarray
    attributes: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict, kw_only=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "files", Paths(self.files))

    def __len__(self) -> int:
        return len(self.files)

    def at(self, kept: np.ndarray) -> Self:
        """Returns the split of the images at these indices."""
        named = {name: values[kept] for name, values in self.attributes.items()}
        arrays = {"labels": self.labels[kept], "groups": self.groups[kept], "attributes": named}
        return dataclasses.replace(self, files=self.files.at(kept), **arrays)


@dataclasses.dataclass(frozen=True)
class Listing:
    """Lists a data set of images: `listing["train"]` is a Split, and class i is called `class_names[i]`."""

    class_names: tuple[str, ...]
    splits: Mapping[str, Split]
    layout: str = ""
    """The name of the layout in which the data lie, as people call it."""
    sampled: tuple[str, ...] = ()
    """The splits that the data do not give, and that were sampled."""

    def __getitem__(self, split: str) -> Split:
        if split not in self.splits:
            raise BadInput(f'There is no split "{split}". {suggestion(split, self.splits)}')
        return self.splits[split]


@dataclasses.dataclass(frozen=True)
class Rows:
    """Lists all images of one source before they are split.

    Args:
        source: The file or folder, with which messages begin.
        class_names: The classes' names in the order of their ids.
        files: The image files [n].
        labels: int64 [n] in [0, classes), or numbers, float32 [n, k].
        groups: int64 [n]; images of one group stay in one split.
        splits: Names of splits, str [n]; "" is still to be sampled.
        layout: The name of the layout in which they lie, as people call it.
    """

    source: Path
    class_names: tuple[str, ...]
    files: Sequence[Path]
    labels: np.ndarray
    groups: np.ndarray
    splits: np.ndarray
    layout: str = ""


def assemble(rows: Rows, seed: int = 0, named: bool = False) -> Listing:
    """Returns a Listing of `rows`, in which missing splits are sampled out of train, and every split is checked.

    Args:
        rows: The images, some of whose split names may be "".
        seed: The seed of the sampling.
        named: Whether a file lists the classes; a model may know more of them than the data shows.

    Raises:
        BadInput: A file has two labels or is in two splits, a split stays empty, or a class that no file lists has no
            training image.
    """
    rows = _each_once(dataclasses.replace(rows, splits=with_train(rows.splits, rows.source)))
    splits = rows.splits.astype("<U5")
    _sample_missing(splits, rows.labels, rows.groups, rows.files, seed)
    listed = {split: _split(rows, np.flatnonzero(splits == split)) for split in SPLITS}
    for split, part in listed.items():
        if not len(part):
            raise BadInput(
                f"{rows.source}: no images for {split}, out of {len(rows.files):,}. Sampling a split needs at least 3 "
                f"images (or tracks) of a class: add images, or give the split."
            )
    absent = unseen(rows.class_names, listed["train"].labels)
    if absent and not named:
        raise BadInput(
            f"{rows.source}: no training image of class {quoted(absent)}. Add some, or remove the class; for a model "
            "that knows classes which the data lacks, list all of them with --set=task.classes=classes.txt."
        )
    if absent:
        note(rows.source, f"no training image of class {quoted(absent)}, so it cannot be learned.")
    return Listing(rows.class_names, listed, rows.layout, missing(rows.splits))


def unseen(class_names: Sequence[str], labels: np.ndarray) -> list[str]:
    """Returns the names of the classes that are none of `labels`, int [n]."""
    present = set(labels.tolist())
    return [name for label, name in enumerate(class_names) if label not in present]


def refuse_unlearnable(
    source: object, class_names: Sequence[str], labels: Mapping[str, np.ndarray], what: str = "image"
) -> None:
    """Raises BadInput where val or test shows a class that train does not, so that nothing can learn it.

    Args:
        source: The data, with which the line begins.
        class_names: The classes' names in the order of their ids.
        labels: The class ids of every split, int [n].
        what: What an example is.
    """
    for split in SPLITS[1:]:
        lost = sorted(set(labels[split].tolist()) - set(labels["train"].tolist()))
        if lost:
            raise BadInput(
                f"{source}: no training {what} of class {quoted([class_names[label] for label in lost])}, which "
                f"{split} shows. Add some, draw other splits with --set=task.split_seed=1, or give a model that knows "
                "it with --set=task.baseline=FILE."
            )


def assemble_blocks(rows: Rows, seed: int = 0) -> Listing:
    """Returns a Listing of `rows`, recorded frames, in which missing splits are sampled as by `sampled_blocks`."""
    rows = dataclasses.replace(rows, splits=with_train(rows.splits, rows.source))
    places = sampled_blocks(rows.splits, rows.groups, rows.source, seed, rows.files)
    listed = {split: _split(rows, np.flatnonzero(places == split)) for split in SPLITS}
    return Listing(rows.class_names, listed, rows.layout, missing(rows.splits, blocks=True))


def with_train(splits: np.ndarray, source: Path) -> np.ndarray:
    """Returns names of splits, str [n], in which val, or else test, is train where none is called so; that is noted.

    Args:
        splits: The given names; "" is still to be sampled.
        source: The data's file or folder, with which the note begins.
    """
    given = set(splits.tolist())
    if not given or given & {"", "train"}:
        return splits
    first = next(split for split in SPLITS if split in given)
    note(source, f"no split is called train, so {first} is taken for it.")
    return np.where(splits == first, "train", splits)


def missing(splits: np.ndarray, blocks: bool = False) -> tuple[str, ...]:
    """Returns the names of the splits that are to be sampled, of given names [n].

    Args:
        splits: The given names; "" is still to be sampled.
        blocks: Whether `sampled_blocks` samples them, for which val becomes test where there is none.
    """
    given = set(splits.tolist())
    if blocks and "test" not in given:
        given = given - {"val"} | ({"test"} if "val" in given else set())
    return tuple(split for split in SPLITS[1:] if split not in given)


def _each_once(rows: Rows) -> Rows:
    """Returns `rows` without repetitions of a file, by the same name or another (a link); a warning counts them.

    Raises BadInput where such a file has two labels, or is in two splits.
    """
    firsts: dict[object, int] = {}
    kept, again, torn = [], [], []
    for row, file in enumerate(rows.files):
        first = firsts.setdefault(identity(file), row)
        if first == row:
            kept.append(row)
            continue
        shown = f"{file}" if file == rows.files[first] else f"{file} is {rows.files[first]}"
        if rows.labels[row] != rows.labels[first]:
            names = [rows.class_names[rows.labels[place]] for place in (first, row)]
            torn.append(f'{shown} ("{names[0]}" and "{names[1]}")')
        elif rows.splits[row] != rows.splits[first]:
            raise _in_two_splits(rows.source, {rows.splits[place]: rows.files[place] for place in (first, row)})
        else:
            again.append(shown)
    if torn:
        raise BadInput(f"{rows.source}: {counted(torn, len(rows.files), 'images have two labels')} Keep one of each.")
    if again:
        what = "images are listed more than once, and taken once"
        note(rows.source, counted(again, len(rows.files), what))
    files, left = [rows.files[row] for row in kept], np.array(kept, np.int64)
    kept_rows = {"labels": rows.labels[left], "groups": rows.groups[left], "splits": rows.splits[left]}
    return dataclasses.replace(rows, files=files, **kept_rows)


def _sample_missing(
    splits: np.ndarray, labels: np.ndarray, groups: np.ndarray, files: Sequence[Path], seed: int
) -> None:
    """Changes names in `splits`, <U5 [n], so that val and test, where missing, are sampled out of what is free.

    Files that are copies of one another go to one split.
    """
    shares = {split: FRACTIONS[split] for split in missing(splits)}
    free = np.isin(splits, ("", "train"))
    if shares and len(files):
        groups = joined(groups, same_content(files), labels)
    splits[free] = sampled(labels[free], groups[free], shares, seed)


def _split(rows: Rows, members: np.ndarray) -> Split:
    return Split([rows.files[i] for i in members], rows.labels[members], rows.groups[members])


def sampled(labels: np.ndarray, groups: np.ndarray, shares: Mapping[str, float], seed: int) -> np.ndarray:
    """Returns split names [n], sampled by a seed.

    Groups are sampled whole, class by class (a group counts for its first example's class); where a class has fewer
    than three groups, all of them stay in train.

    Args:
        labels: The classes, int64 [n].
        groups: int64 [n].
        shares: The shares of val and test in [0, 1]; the rest is train.
        seed: The seed of the sampling.
    """
    unique, firsts, members = np.unique(groups, return_index=True, return_inverse=True)
    names = np.full(len(unique), "train", "<U5")
    generator = np.random.default_rng(seed)
    group_labels = labels[firsts]
    for label in np.unique(group_labels):
        order = generator.permutation(np.flatnonzero(group_labels == label))
        if len(order) < 3:  # too few to see the class in every split: training needs it most
            continue
        counts = {split: max(1, round(share * len(order))) for split, share in shares.items()}
        for split, count in counts.items():
            names[order[:count]], order = split, order[count:]
    return names[members]


def sampled_blocks(
    splits: np.ndarray, groups: np.ndarray, source: Path, seed: int = 0, files: Sequence[Path] = ()
) -> np.ndarray:
    """Returns split names [n] of recorded frames, where missing splits are sampled out of train, block by block.

    Where there is train and val but no test, val becomes test: it is what others report on.

    Args:
        splits: The given split names [n]; "" is still to be sampled.
        groups: int64 [n], blocks of neighbouring frames.
        source: The data's file or folder, with which messages begin.
        seed: The seed of the sampling.
        files: The images [n], so that no two copies of one are sampled into different splits.

    Raises:
        BadInput: A split stays empty.
    """
    splits = splits.astype("<U5")
    if "val" in splits and "test" not in splits:
        said = "no test split, so val is the test split, and a val split is sampled from train."
        note(source, said, logging.INFO)
        splits[splits == "val"] = "test"
    _sample_missing(splits, np.zeros(len(splits), np.int64), groups, files, seed)
    for split in SPLITS:
        if split not in splits:
            raise BadInput(
                f"{source}: no images for {split}, out of {len(splits):,}. Sampling a split needs at least 3 blocks of "
                f"frames: add images, or give the split."
            )
    return splits


def refuse_few(generated: object, least: int) -> None:
    """Raises BadInput where a split of generated examples (`generated.train`, ...) has a count below `least`."""
    for split in SPLITS:
        count = getattr(generated, split)
        if count < least:
            raise BadInput(f"{type(generated).__name__}.{split} must be at least {least}, got {count}.")


def refuse_repeated_files(source: Path, listed: Mapping[str, Split]) -> None:
    """Raises BadInput where one file is in two splits, by the same name or another (a link)."""
    files = [file for part in listed.values() for file in part.files.texts]
    firsts, owners = identities(files), np.repeat(list(listed), [len(part) for part in listed.values()])
    for index in np.flatnonzero(owners != owners[firsts])[:1].tolist():
        first = int(firsts[index])
        raise _in_two_splits(source, {str(owners[place]): Path(files[place]) for place in (first, index)})


def _in_two_splits(source: Path, files: Mapping[str, Path]) -> BadInput:
    first, second = sorted(files, key=SPLITS.index)
    shown = files[second].name + ("" if files[first] == files[second] else f" ({files[first]})")
    return BadInput(f"{source}: {shown} is in {first} and in {second}. Keep it in one of them.")
