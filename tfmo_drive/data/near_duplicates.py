"""Finds images that look like one of another split, by perceptual hashes: their score says little of new ones.

pHash (Zauner 2010, "Implementation and benchmarking of perceptual image hash functions") by the library imagehash: the
signs of the lowest 12 x 12 frequencies of the grey image, which stay as they are when an image is scaled, saved again
or moved by a little.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import imagehash
import numpy as np
from tqdm import tqdm

from tfmo_drive.base import atomic
from tfmo_drive.base.cache import cache_root, digest, keeping, made_once
from tfmo_drive.data.images import UnreadableImage, of_eight_bits, opened
from tfmo_drive.data.splitting import SPLITS, Split

MOST = 20_000
"""The largest number of images that are compared; of more, so many are sampled."""
_SIDE, _ALIKE = 12, 18
"""Frequencies a side, and the largest number of them, of 144, that differ in images that look alike. Of 18 million
pairs of traffic signs at 32 px, 66 of another track are that near; photographs of one place a second apart are."""
_WORDS = -(-_SIDE * _SIDE // 64)
_FILE, _VERSION = "pairs.json", 2
_CHUNK = 64
"""The number of images that are compared with all others at once: some 30 MB."""


@dataclasses.dataclass(frozen=True)
class Near:
    """Tells which image looks like one of an earlier split."""

    split: str
    file: str
    other_split: str
    other_file: str


@dataclasses.dataclass(frozen=True)
class Found:
    """Holds what was compared and found.

    Args:
        compared: The number of images compared of each split.
        near: For each image of val and test that looks like one of train, or of val, the nearest.
    """

    compared: Mapping[str, int]
    near: tuple[Near, ...]


def near_duplicates(splits: Mapping[str, Split], seed: int = 0) -> Found:
    """Returns which images of val and test look like one of train, and of test like one of val.

    Images that cannot be read are passed over. What was found is kept in the cache, under the names, sizes and times of
    the files.

    Args:
        splits: The images of train, val and test.
        seed: The seed of the sample where there are more than MOST.
    """
    texts = [file for split in SPLITS for file in splits[split].files.texts]
    owners = np.repeat(SPLITS, [len(splits[split]) for split in SPLITS])
    kept = np.arange(len(texts))
    if len(texts) > MOST:
        kept = np.sort(np.random.default_rng(seed).permutation(len(texts))[:MOST])
    files = [(str(owners[index]), Path(texts[index])) for index in kept]
    facts = [[split, *_facts(file)] for split, file in files]
    place = cache_root() / "near_duplicates" / digest([_VERSION, _SIDE, _ALIKE, facts])[:20]
    with keeping("Near-duplicates", place.parent):
        made = made_once(place, functools.partial(_write, files), (_FILE,))
    found = json.loads((made / _FILE).read_text())
    return Found(found["compared"], tuple(Near(**one) for one in found["near"]))


def _facts(file: Path) -> list[object]:
    try:
        found = os.stat(file)
    except OSError:
        return [str(file)]
    return [os.path.abspath(file), found.st_size, found.st_mtime_ns]


def _write(files: Sequence[tuple[str, Path]], folder: Path) -> None:
    with ThreadPoolExecutor() as threads:
        shown = tqdm(threads.map(_hash, [file for _, file in files]), "compare images", len(files), leave=False,
                     unit="image", disable=None)  # fmt: skip
        hashes = list(shown)
    known = [index for index, one in enumerate(hashes) if one is not None]
    splits = np.array([SPLITS.index(files[index][0]) for index in known], np.int64)
    bits = np.array([hashes[index] for index in known], np.uint64).reshape(-1, _WORDS)
    near = []
    for place in range(1, len(SPLITS)):
        ours, earlier = np.flatnonzero(splits == place), np.flatnonzero(splits < place)
        for part in np.array_split(ours, max(1, -(-len(ours) // _CHUNK))) if len(earlier) else ():
            apart = np.bitwise_count(bits[part, None] ^ bits[None, earlier]).sum(-1)
            for index, row in zip(part, apart, strict=True):
                nearest = earlier[row.argmin()]
                if row.min() <= _ALIKE:
                    pair = [files[known[one]] for one in (index, nearest)]
                    near.append(Near(pair[0][0], str(pair[0][1]), pair[1][0], str(pair[1][1])))
    compared = {split: int((splits == place).sum()) for place, split in enumerate(SPLITS)}
    atomic.write_json(folder / _FILE, {"compared": compared, "near": [dataclasses.asdict(one) for one in near]})


def _hash(file: Path) -> np.ndarray | None:
    """Returns an image's hash, uint64 [_WORDS]; None where it cannot be read, or has one colour and says nothing."""
    try:
        with opened(file, file) as image:
            image.draft("L", (4 * _SIDE, 4 * _SIDE))  # a JPEG is decoded at the size that is needed
            bits = imagehash.phash(of_eight_bits(image), _SIDE).hash.ravel()
    except UnreadableImage:
        return None
    if bits.sum() <= 1:
        return None
    return np.packbits(np.pad(bits, (0, 64 * _WORDS - len(bits)))).view(">u8").astype(np.uint64)
