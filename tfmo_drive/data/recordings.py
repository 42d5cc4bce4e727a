"""Groups neighbouring frames of a recording, which are near-duplicates, so that they are split and resampled as blocks.

Block cross-validation: Roberts et al. 2017, "Cross-validation strategies for data with temporal, spatial, hierarchical,
or phylogenetic structure".
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Iterator, Sequence

import numpy as np

_TWO_NUMBERS = re.compile(r"(.*\d\D+)\d+\D*")
_EXPORTED = re.compile(r"(.+?)(_(jpe?g|png|bmp|webp))?\.rf\.[0-9A-Za-z]+", re.ASCII)
"""What Roboflow calls the copies of one image that it makes: stop_12_jpg.rf.0a1b2c.jpg."""
BLOCK, LEAST = 20, 20
"""The largest number of frames in a block, and the smallest number of blocks: fewer groups make no interval."""
ENOUGH, MOST = 10, 0.2
"""The smallest number of recordings that are drawn whole, and the largest share of the images that one may have."""
_NUMBER = re.compile(r"(\d+)(\D*)$")


def recording(name: str) -> str:
    """Returns what the frames of one recording have in common: a name without its last number and what follows it."""
    found = _NUMBER.search(name)
    return name[: found.start()] if found else name


def blocks(names: Sequence[str], sizes: np.ndarray) -> np.ndarray:
    """Returns the block of each image, int64 [n] from 0.

    A recording is what differs in the last number of its name alone (0016E5_00390.png, 0016E5_00420.png) and is of one
    size throughout, as one camera makes it; photographs of many sizes are a block each. A recording is cut in the order
    of its numbers into blocks of equal length: a twentieth of all images, at most 20. Where two blocks meet, their
    frames are still alike, and blocks of one short drive are: intervals over them are too narrow.

    Args:
        names: The images' file names.
        sizes: Numbers that tell the images' width and height apart, [n] or [n, k].
    """
    numbers: list[int] = []
    own = _ranked(_recording_and_number(names, numbers))
    if not numbers:
        return own
    kept = np.int64 if max(numbers) < 2**63 else object  # some name frames by times in picoseconds
    order = np.argsort(np.array(numbers, kept), kind="stable")
    order = order[np.argsort(own[order], kind="stable")]
    counts = np.bincount(own)
    begins = np.cumsum(counts) - counts
    sides = np.asarray(sizes).reshape(len(numbers), -1)[order]
    recorded = (np.minimum.reduceat(sides, begins) == np.maximum.reduceat(sides, begins)).all(axis=1)
    longest = max(1, min(BLOCK, len(numbers) // LEAST))
    pieces = np.where(recorded, -(-counts // longest), counts)
    short, longer = np.divmod(counts, pieces)  # so many of its pieces are one longer than the rest
    groups, which = np.empty(len(numbers), np.int64), own[order]
    place, short, longer = np.arange(len(numbers)) - begins[which], short[which], longer[which]
    in_longer = place // (short + 1)
    groups[order] = np.where(in_longer < longer, in_longer, (place - longer) // short)
    groups[order] += (np.cumsum(pieces) - pieces)[which]
    return groups


def _recording_and_number(names: Iterable[str], numbers: list[int]) -> Iterator[tuple[str, str]]:
    """Yields what the frames of the recording of each name have in common, and adds the frame's number to `numbers`."""
    for name in names:
        stem, _, suffix = name.rpartition(".")
        found = _NUMBER.search(stem)
        numbers.append(int(found[1]) if found else 0)
        yield (stem[: found.start()], f"{found[2]}.{suffix}") if found else (name, "")


def _ranked(values: Iterable[Hashable]) -> np.ndarray:
    """Returns int64 [n], the rank of each value among those that differ."""
    codes: dict[Hashable, int] = {}
    found = np.fromiter((codes.setdefault(value, len(codes)) for value in values), np.int64)
    ranks = np.empty(len(codes), np.int64)
    ranks[[codes[value] for value in sorted(codes)]] = np.arange(len(codes))
    return ranks[found]


def drawn_whole(recordings: Iterable[str], groups: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Returns what stays whole where splits are drawn, int64 [n]: recordings, or else the groups that are given.

    Recordings stay whole where there are ENOUGH of them and none has more than MOST of the images: of fewer, or with
    one that is nearly all, a split would be empty or everything.

    Args:
        recordings: The name of each image's recording, [n].
        groups: int64 [n], blocks of the frames of a recording.
        free: Which images are to be drawn, bool [n].
    """
    whole = _ranked(recordings)
    counts = np.bincount(whole[free])
    return whole if (counts > 0).sum() >= ENOUGH and counts.max() <= MOST * free.sum() else groups


def tracks(names: Sequence[str], labels: np.ndarray) -> np.ndarray:
    """Returns the track of each of some images of classes, int64 [n] from 0.

    A track is what differs in the last of several numbers of its name alone, as 00007_00029.png is frame 29 of track 7.
    Copies of one image that an export made (stop_12_jpg.rf.0a1b2c.jpg) are one. Tracks of which a class has fewer than
    three, too few to be in every split, are cut into blocks as recordings are. All other images are a track each.

    Args:
        names: The images' names, with their class in front where a number means another track in each.
        labels: The classes, int64 [n].
    """
    places = [name.rpartition("/") for name in names]
    stems = [last.rpartition(".")[0] or last for _, _, last in places]
    originals = [found[1] if ".rf." in stem and (found := _EXPORTED.fullmatch(stem)) else stem for stem in stems]
    heads = [found[1] if (found := _TWO_NUMBERS.fullmatch(one)) else one for one in originals]
    keys = [(folder, head) for (folder, _, _), head in zip(places, heads, strict=True)]
    numbers: dict[object, int] = {}
    found = np.array([numbers.setdefault(key, len(numbers)) for key in keys], np.int64)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        if len(np.unique(found[members])) < 3:
            found[members] = (
                blocks([f"{originals[row]}.png" for row in members], np.zeros(len(members))) + found.max() + 1
            )
    return np.unique(found, return_inverse=True)[1]
