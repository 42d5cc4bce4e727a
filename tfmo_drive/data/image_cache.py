"""Decodes images once into one flat file and reads them by index, so that training memory does not grow with the data.

An entry is a folder named after its key, an entry of base.cache: images.u8 (raw uint8, example after example: pixels,
and its mask behind them where there are masks; inputs.f32 where inputs are float32), labels.npy, groups.npy,
digests.npy, perhaps attributes.npz, and pack.json. Reads use pread, not mmap, because pages of a mapping count as
resident memory; a mask comes with its pixels in one.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from tfmo_drive.base import atomic
from tfmo_drive.base.cache import cache_root, digest, keeping, made_once, scratch
from tfmo_drive.base.faults import counted, note
from tfmo_drive.base.given_file import reading
from tfmo_drive.contracts import BadInput, Examples
from tfmo_drive.data.images import Resize, UnreadableImage, decode, whole
from tfmo_drive.data.lanes import Lanes
from tfmo_drive.data.mask_files import EXPECTED, MASKS_VERSION, MaskSplit, read_mask
from tfmo_drive.data.splitting import Split

_INPUTS = {"uint8": "images.u8", "float32": "inputs.f32"}
"""The file of the inputs by their type."""
_FILES = (*_INPUTS.values(), "labels.npy", "groups.npy", "digests.npy", "attributes.npz", "pack.json")
_CHUNK_BYTES = 16 << 20
"""The bytes of decoded pixels held at once, large enough that threads seldom wait for one another."""


class Example(NamedTuple):
    """Holds one example of an entry: pixels, label and, where there are any, mask, attributes and group."""

    pixels: np.ndarray
    """uint8 [height, width, channels]; of other data than images float32 of any shape, the same for all examples."""
    label: object = 0
    """A number, an array of one shape (float32 [k]), or several of them by name: {"steering": array, ...}."""
    mask: np.ndarray | None = None
    """uint8 [height, width], of all examples or of none."""
    attributes: Mapping[str, str] = {}
    """The same names for all examples: {"weather": "rain"}."""
    group: int | None = None
    """None: the example is a group of its own."""


class PackedExamples(Examples):
    """Reads the examples of a finished entry.

    `read` gives inputs [b, ...] (pixels: uint8) and the targets. It is thread-safe, and independent of the folder once
    open: the entry may be replaced meanwhile. Raises BadInput where the folder holds no whole entry.
    """

    def __init__(self, folder: Path) -> None:
        with reading(folder, "an entry of the image cache", "Remove it; it will be made again."):
            self.facts = json.loads((folder / "pack.json").read_text())
            self.labels = np.load(folder / "labels.npy")
            self.groups = np.load(folder / "groups.npy")
            self.attributes: dict[str, np.ndarray] = {}
            """The names from which slices are made: "weather" to a name for every example, str [n]."""
            if (folder / "attributes.npz").exists():
                with np.load(folder / "attributes.npz") as attributes:
                    self.attributes = dict(attributes)
            self.digests: np.ndarray = np.load(folder / "digests.npy")
            """uint64 [n], equal for equal pixels."""
            self.dtype = np.dtype(self.facts.get("dtype", "uint8"))
            self._file = open(folder / _INPUTS[self.dtype.name], "rb", buffering=0)
            self.shape: tuple[int, ...] = tuple(self.facts["shape"])
            self.fingerprint: str = self.facts["fingerprint"]
            """sha256 over pixels, masks, labels, groups and attributes: the content, wherever the files lie."""
            self.masked: bool = self.facts.get("masked", False)
        self._stride = self.dtype.itemsize * math.prod(self.shape) + self.masked * math.prod(self.shape[:2])
        expected = len(self.labels) * self._stride
        if os.fstat(self._file.fileno()).st_size != expected:
            raise BadInput(f"{self._file.name} is not {expected:,} bytes. Remove {folder}; it will be made again.")

    def __len__(self) -> int:
        return len(self.labels)

    def read(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray | dict[str, np.ndarray]]:
        """Returns inputs and targets of these examples, in this order.

        Inputs are [b, ...] (pixels: uint8 [b, height, width, channels]).
        Targets are masks uint8 [b, height, width] where there are masks, else labels [b] or [b, k]; labels by name are
        {name: [b, ...]}, with the masks as "mask".
        """
        indices = np.asarray(indices, np.int64)
        labels = self.labels[indices]
        pixels = np.empty((len(indices), *self.shape), self.dtype)
        masks = np.empty((len(indices), *self.shape[:2]), np.uint8) if self.masked else None
        for place, index in enumerate((indices % len(self)).tolist()):
            parts = [pixels[place].data, masks[place].data] if self.masked else [pixels[place].data]
            if os.preadv(self._file.fileno(), parts, index * self._stride) != self._stride:
                raise BadInput(f"{self._file.name} ends before example {index}. Remove its folder and run again.")
        if labels.dtype.names is None:
            return pixels, masks if self.masked else labels
        named = {name: np.ascontiguousarray(labels[name]) for name in labels.dtype.names}
        return pixels, named | {"mask": masks} if self.masked else named


@dataclasses.dataclass(frozen=True)
class _Source:
    """Holds everything that `_packed` must know about what it packs."""

    key: str
    shape: tuple[int, ...] | None
    count: int | None
    name: str
    rows: Callable[[], Iterable[Example | UnreadableImage]]
    dtype: str = "uint8"


def pack(
    split: Split,
    shape: tuple[int, ...],
    resize: Resize | None = None,
    folder: Path | None = None,
    skip_bad: bool = False,
    label: str = "images",
) -> PackedExamples:
    """Decodes every image of `split` to `shape`, or reuses the entry that is there already.

    The entry's key covers paths, sizes, times, labels, groups, attributes, shape and resize. The masks of a MaskSplit
    are packed with the pixels.

    Args:
        split: The images and their labels.
        shape: (height, width), of RGB, or (height, width, channels).
        resize: The rule of resizing; `Resize()` by default.
        folder: Where entries lie; `cache_root()/packed` by default.
        skip_bad: Whether images and masks that cannot be used are skipped.
        label: The name of the split on the progress bar.

    Raises:
        BadInput: Images or masks cannot be used (all are counted, ten named), or the folder cannot be written.
    """
    resize, shape = resize or Resize(), whole(shape)
    facts = [_file_facts(split.files), [_label_facts(split.labels), split.groups.tolist(), list(shape)]]
    facts += [resize.to_dict(), skip_bad]
    if isinstance(split, MaskSplit):
        facts += [_mask_facts(split.masks), dataclasses.asdict(split.ids), MASKS_VERSION]
    if split.attributes:
        facts.append({name: values.tolist() for name, values in split.attributes.items()})
    key = digest(facts)
    rows = functools.partial(_decoded_rows, split, shape, resize, skip_bad)
    packed = _packed(folder, _Source(key, shape, len(split), f"decode {label}", rows))
    if skipped := packed.facts["skipped"]:
        note(Path(skipped[0][0]).parent, f"{_complaint(skipped, split)} They are skipped.")
    return packed


def pack_generated(
    generate: Callable[[int], tuple], count: int, key: object, folder: Path | None = None
) -> PackedExamples:
    """Packs `generate(0)`, ..., `generate(count - 1)`, or reuses the entry that is there already.

    Args:
        generate: Returns an `Example`, or its first items, for an index; all of one shape.
        count: The number of examples.
        key: JSON types that say everything that `generate` depends on: seed, size, version of the drawing code.
        folder: Where entries lie; `cache_root()/packed` by default.
    """
    name = digest([key, count])
    return _packed(
        folder, _Source(name, None, count, "draw scenes", lambda: (Example(*generate(i)) for i in range(count)))
    )


def pack_stream(rows: Iterable[Example], dtype: str, name: str, folder: Path | None = None) -> PackedExamples:
    """Packs examples that come one after the other and can be read once only: the entry is named after their content.

    Args:
        rows: The examples, all of one shape.
        dtype: The type of their inputs, "uint8" or "float32".
        name: What the progress bar says.
        folder: Where entries lie; `cache_root()/packed` by default.

    Raises:
        BadInput: The folder cannot be written.
    """
    place = folder or cache_root() / "packed"
    source = _Source("stream", None, None, name, lambda: rows, dtype)
    with keeping("Examples", place), scratch(place) as read:
        _write(source, read)
        key = PackedExamples(read).fingerprint[:20]

        def move(made: Path) -> None:
            for file in read.iterdir():
                file.rename(made / file.name)

        return PackedExamples(made_once(place / key, move, _FILES))


def _packed(folder: Path | None, source: _Source) -> PackedExamples:
    path = (folder or cache_root() / "packed") / source.key[:20]
    with keeping("Images", path.parent):
        return PackedExamples(made_once(path, functools.partial(_write, source), _FILES))


def _write(source: _Source, folder: Path) -> None:
    labels, groups, attributes, skipped, digests = [], [], [], [], []
    shape, masked = source.shape, False
    content = hashlib.sha256()
    with open(folder / _INPUTS[source.dtype], "wb") as images:
        rows = tqdm(source.rows(), desc=source.name, total=source.count, unit="image", disable=None, leave=False)
        for row in rows:
            if isinstance(row, UnreadableImage):
                skipped.append([row.file, row.reason])
                continue
            shape, masked = shape or row.pixels.shape, masked if labels else row.mask is not None
            _check(row, source, shape, masked)
            for plane in (row.pixels, row.mask)[: 1 + masked]:
                data = np.ascontiguousarray(plane).data
                images.write(data)
                content.update(data)
            digests.append(hashlib.blake2b(np.ascontiguousarray(row.pixels).data, digest_size=8).digest())
            groups.append(len(labels) if row.group is None else row.group)
            labels.append(row.label)
            attributes.append(row.attributes)
    arrays = {"labels": _stacked(labels), "groups": np.array(groups, np.int64)}
    named = {name: np.array([row[name] for row in attributes], np.str_) for name in attributes[0]} if attributes else {}
    for name, array in (arrays | named).items():
        content.update(f"{name} {array.dtype} {array.shape} {shape}".encode() + array.tobytes())
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    np.save(folder / "digests.npy", np.frombuffer(b"".join(digests), "<u8"))
    if named:
        np.savez(folder / "attributes.npz", **named)
    facts = {"shape": list(shape or ()), "count": len(labels), "fingerprint": content.hexdigest(), "masked": masked}
    facts |= {"dtype": source.dtype}
    atomic.write_json(folder / "pack.json", facts | {"key": source.key, "skipped": skipped})


def _check(row: Example, source: _Source, shape: tuple[int, ...], masked: bool) -> None:
    planes = [(row.pixels, source.dtype, shape), *([(row.mask, "uint8", shape[:2])] if masked else [])]
    for plane, dtype, expected in planes:
        if plane is None or plane.dtype != dtype or plane.shape != expected:
            got = "nothing" if plane is None else f"{plane.dtype} {plane.shape}"
            raise ValueError(f"{source.name}: expected {dtype} {expected}, got {got}.")
    if row.mask is not None and not masked:
        raise ValueError(f"{source.name}: expected no mask, as of the first example, got one.")


def _stacked(labels: list) -> np.ndarray:
    """Returns labels as an array [n] or [n, k]; labels by name become a structured array [n]."""
    if not labels or not isinstance(labels[0], Mapping):
        return np.array(labels)
    columns = {name: np.stack([label[name] for label in labels]) for name in labels[0]}
    stacked = np.empty(len(labels), [(name, column.dtype, column.shape[1:]) for name, column in columns.items()])
    for name, column in columns.items():
        stacked[name] = column
    return stacked


def _decoded_rows(
    split: Split, shape: tuple[int, ...], resize: Resize, skip_bad: bool
) -> Iterator[Example | UnreadableImage]:
    bad: list[UnreadableImage] = []
    chunk = max(1, min(1024, _CHUNK_BYTES // math.prod(shape)))
    with ThreadPoolExecutor() as threads:
        for start in range(0, len(split), chunk):
            part = range(start, min(start + chunk, len(split)))
            for row in threads.map(lambda index: _decoded(split, index, shape, resize), part):
                if isinstance(row, UnreadableImage):
                    bad.append(row)
                yield row
    if bad and (not skip_bad or len(bad) == len(split)):
        text = _complaint([[image.file, image.reason] for image in bad], split)
        raise BadInput(f"{text} Mend or remove them, or skip them with --set=task.skip_bad=True.")


def _decoded(split: Split, index: int, shape: tuple[int, ...], resize: Resize) -> Example | UnreadableImage:
    file, mask = split.files[index], None
    attributes = {name: values[index] for name, values in split.attributes.items()}
    try:
        pixels = decode(file, shape, resize)
        if isinstance(split, MaskSplit):
            mask = read_mask(split.masks[index], file, split.ids, shape[:2], resize)
    except UnreadableImage as error:
        return error
    return Example(pixels, split.labels[index], mask, attributes, int(split.groups[index]))


def _complaint(bad: list[list[str]], split: Split) -> str:
    masked = isinstance(split, MaskSplit)
    what = "images or their masks cannot be used" if masked else "images cannot be read"
    text = counted([f"{file} ({reason})" for file, reason in bad], len(split), what)
    return f"{text} {EXPECTED}" if masked else text


def _label_facts(labels: np.ndarray) -> list:
    return labels.tolist() if labels.dtype.names is None else [labels[name].tolist() for name in labels.dtype.names]


def _file_facts(files: tuple[Path, ...]) -> list[list[object]]:
    try:
        facts = [(os.path.abspath(file), os.stat(file)) for file in files]
    except OSError as error:
        raise BadInput(f"{error.filename} cannot be read: {error.strerror}. List the images again.") from error
    return [[path, found.st_size, found.st_mtime_ns] for path, found in facts]


def _mask_facts(masks: tuple[Path | Lanes, ...]) -> list[list[object]]:
    files = iter(_file_facts(tuple(mask for mask in masks if not isinstance(mask, Lanes))))
    return [mask.facts if isinstance(mask, Lanes) else next(files) for mask in masks]
