"""Images decoded once into one flat file, then read by index: training memory does not grow with the data.

A pack is a folder named after its key: images.u8 (raw uint8, example after example), labels.npy, groups.npy, pack.json.
It appears whole or not at all. Reads use pread, not mmap, because pages of a mapping count as resident memory.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import math
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from absl import logging
from tqdm import tqdm

from tfmo_drive.contracts import BadInput, Examples
from tfmo_drive.core import atomic
from tfmo_drive.core.cache import cache_root, digest, made_once
from tfmo_drive.core.images import Resize, UnreadableImage, decode
from tfmo_drive.core.splitting import Split

_CHUNK_BYTES = 16 << 20
"""Decoded pixels held at once; large enough that threads seldom wait for one another."""

Row = tuple[np.ndarray | UnreadableImage, object, int]
"""What a pack is made of: pixels (or why there are none), label, group."""


class PackedExamples(Examples):
    """A finished pack. `read` gives uint8 [b, ...] pixels and the labels; thread-safe, and independent of the folder
    once open (the pack may be replaced meanwhile). Raises BadInput where the folder holds no whole pack."""

    def __init__(self, folder: Path) -> None:
        try:
            self.facts = json.loads((folder / "pack.json").read_text())
            self.labels = np.load(folder / "labels.npy")
            self.groups = np.load(folder / "groups.npy")
            self._file = open(folder / "images.u8", "rb", buffering=0)
        except (OSError, ValueError) as error:
            raise BadInput(f"{folder} is not a pack of images: {error}. Remove it; it will be made again.") from error
        self.shape: tuple[int, ...] = tuple(self.facts["shape"])
        self.fingerprint: str = self.facts["fingerprint"]
        """sha256 over pixels, labels and groups: the content, wherever the files lie."""
        expected = len(self.labels) * math.prod(self.shape)
        if os.fstat(self._file.fileno()).st_size != expected:
            raise BadInput(f"{folder}/images.u8 is not {expected:,} bytes. Remove {folder}; it will be made again.")

    def __len__(self) -> int:
        return len(self.labels)

    def read(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pixels uint8 [b, height, width, 3] and labels [b] of these examples, in this order."""
        indices = np.asarray(indices, np.int64)
        labels = self.labels[indices]
        pixels = np.empty((len(indices), *self.shape), np.uint8)
        stride = math.prod(self.shape)
        for place, index in zip(pixels, (indices % len(self)).tolist(), strict=True):
            if os.preadv(self._file.fileno(), [place.data], index * stride) != stride:
                raise BadInput(f"{self._file.name} ends before example {index}. Remove its folder and run again.")
        return pixels, labels


@dataclasses.dataclass(frozen=True)
class _Source:
    """Everything `_packed` must know of what it packs."""

    key: str
    shape: tuple[int, ...] | None
    count: int
    name: str
    rows: Callable[[], Iterable[Row]]


def pack(
    split: Split,
    size: tuple[int, int],
    resize: Resize | None = None,
    folder: Path | None = None,
    skip_bad: bool = False,
    label: str = "images",
) -> PackedExamples:
    """Decode every image of `split` to `size` = (height, width) into `folder/<key>`, or reuse what is there already.

    The key covers paths, sizes, times, labels, groups, size and resize. `folder` is `cache_root()/packed` by default;
    `label` names the progress bar. Raises one BadInput that counts and names all unreadable images, unless `skip_bad`,
    and BadInput where the disk is full or cannot be written.
    """
    resize = resize or Resize()
    numbers = [split.labels.tolist(), split.groups.tolist(), list(size)]
    key = digest([_file_facts(split), numbers, resize.to_dict(), skip_bad])
    rows = functools.partial(_decoded_rows, split, size, resize, skip_bad)
    packed = _packed(folder, _Source(key, (*size, 3), len(split), f"decode {label}", rows))
    if packed.facts["skipped"]:
        logging.warning("%s They are skipped.", _complaint(packed.facts["skipped"], len(split)))
    return packed


def pack_generated(
    generate: Callable[[int], tuple[np.ndarray, object]], count: int, key: object, folder: Path | None = None
) -> PackedExamples:
    """Pack `generate(0)`, ..., `generate(count - 1)`: uint8 pixels of one shape, and a label, each a group of its own.

    `key` (JSON types) must say everything that `generate` depends on: seed, size, version of the drawing code.
    """
    name = digest([key, count])
    return _packed(folder, _Source(name, None, count, "draw scenes", lambda: ((*generate(i), i) for i in range(count))))


def _packed(folder: Path | None, source: _Source) -> PackedExamples:
    path = (folder or cache_root() / "packed") / source.key[:20]
    try:
        return PackedExamples(made_once(path, "pack.json", functools.partial(_write, source)))
    except OSError as error:
        raise BadInput(
            f"Images cannot be packed into {path.parent}: {error.strerror or error}. "
            f"Make room there, or set TFMO_DRIVE_CACHE to another folder."
        ) from error


def _write(source: _Source, folder: Path) -> None:
    labels, groups, skipped, shape = [], [], [], source.shape
    content = hashlib.sha256()
    with open(folder / "images.u8", "wb") as images:
        rows = tqdm(source.rows(), desc=source.name, total=source.count, unit="image", disable=None, leave=False)
        for image, label, group in rows:
            if isinstance(image, UnreadableImage):
                skipped.append([image.file, image.reason])
                continue
            shape = shape or image.shape
            if image.dtype != np.uint8 or image.shape != shape:
                raise ValueError(f"{source.name}: expected uint8 {shape}, got {image.dtype} {image.shape}.")
            data = np.ascontiguousarray(image).data
            images.write(data)
            content.update(data)
            labels.append(label)
            groups.append(group)
    arrays = {"labels": np.array(labels), "groups": np.array(groups, np.int64)}
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
        content.update(f"{name} {array.dtype} {array.shape} {shape}".encode() + array.tobytes())
    facts = {"shape": list(shape or ()), "count": len(labels), "fingerprint": content.hexdigest()}
    atomic.write_json(folder / "pack.json", facts | {"key": source.key, "skipped": skipped})


def _decoded_rows(split: Split, size: tuple[int, int], resize: Resize, skip_bad: bool) -> Iterator[Row]:
    bad: list[UnreadableImage] = []
    chunk = max(1, min(1024, _CHUNK_BYTES // (size[0] * size[1] * 3)))
    with ThreadPoolExecutor() as threads:
        for start in range(0, len(split), chunk):
            part = slice(start, start + chunk)
            images = threads.map(lambda file: _decoded(file, size, resize), split.files[part])
            for image, label, group in zip(images, split.labels[part], split.groups[part], strict=True):
                if isinstance(image, UnreadableImage):
                    bad.append(image)
                yield image, label, group
    if bad and (not skip_bad or len(bad) == len(split)):
        text = _complaint([[image.file, image.reason] for image in bad], len(split))
        raise BadInput(f"{text} Mend or remove them, or skip them with --set=task.skip_bad=True.")


def _decoded(file: Path, size: tuple[int, int], resize: Resize) -> np.ndarray | UnreadableImage:
    try:
        return decode(file, size, resize)
    except UnreadableImage as error:
        return error


def _complaint(bad: list[list[str]], total: int) -> str:
    shown = ", ".join(f"{file} ({reason})" for file, reason in bad[:5])
    more = f" and {len(bad) - 5:,} more" if len(bad) > 5 else ""
    return f"{len(bad):,} of {total:,} images cannot be read: {shown}{more}."


def _file_facts(split: Split) -> list[list[object]]:
    try:
        facts = [(os.path.abspath(file), os.stat(file)) for file in split.files]
    except OSError as error:
        raise BadInput(f"{error.filename} cannot be read: {error.strerror}. List the images again.") from error
    return [[path, found.st_size, found.st_mtime_ns] for path, found in facts]
