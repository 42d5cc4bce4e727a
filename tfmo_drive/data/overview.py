"""Says in sentences what a listing holds: counts, sizes, classes, small boxes, and what is alike across splits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from tfmo_drive.base import faults
from tfmo_drive.contracts import BadInput
from tfmo_drive.data.boxes import Truths
from tfmo_drive.data.images import Resize, UnreadableImage, size_of
from tfmo_drive.data.mask_files import EXPECTED, IGNORE, MaskSplit, read_mask
from tfmo_drive.data.near_duplicates import Found, near_duplicates
from tfmo_drive.data.splitting import SPLITS, Listing, Split

OPENED = 500
"""The number of images whose headers say how large images are."""
READ = 100
"""The number of masks that are read to say how frequent classes are."""
SMALL = 8.0
"""The side in pixels of the model's input below which a box is hard to find for any detector."""
SHOWN = 12
"""The number of classes that a sentence names; of more, the rarest."""
_OFTEN = 0.25
"""The share of equal numbers from which a sentence says so."""
_PAIRS = 3
"""The number of pairs of near-duplicates that a sentence names."""


def sentences(
    listing: Listing, size: tuple[int, int], resize: Resize, source: Path, skip_bad: bool = False
) -> Iterator[str]:
    """Yields what there is to know before training, a sentence each.

    Args:
        listing: The data.
        size: (height, width) of the model's input.
        resize: The rule of resizing.
        source: The file or folder of the data, with which errors begin.
        skip_bad: Whether images that cannot be used are skipped.

    Raises:
        BadInput: At the end, where images or masks that were opened cannot be used, and are not to be skipped.
    """
    yield _counts(listing)
    sizes, unread = _opened(listing)
    yield _sizes(listing, sizes, size)
    if hasattr(listing["train"], "truths"):
        truths = {split: listing[split].truths for split in SPLITS}
        yield from classes(_of_boxes(truths), listing.class_names, "objects")
        yield from _boxes(listing, truths, size, resize)
    elif isinstance(listing["train"], MaskSplit):
        told, masks = _pixels(listing, size, resize)
        unread = unread if unread[0] else masks
        yield told
    elif listing.class_names:
        yield from classes({split: _ids(listing[split].labels) for split in SPLITS}, listing.class_names, "images")
    else:
        yield from _numbers(listing)
    yield _alike(near_duplicates({split: listing[split] for split in SPLITS}))
    bad, total = unread
    if skip_bad and 0 < len(bad) < total:
        yield f"Of {total:,} images that were opened, {len(bad):,} or their masks cannot be used, and are left out."
        return
    try:
        faults.refuse(source, bad, total, "images or their masks cannot be used", skip_bad)
    except BadInput as error:
        raise BadInput(f"{error} {EXPECTED}" if isinstance(listing["train"], MaskSplit) else str(error)) from error


def of_scenes(counts: Mapping[str, int], size: tuple[int, int], names: Sequence[str]) -> Iterator[str]:
    """Yields what there is to know of built-in scenes: images of each split, their (height, width), their classes."""
    yield f"driving scenes, generated from a seed: {each(counts)} images."
    yield f"All are {_side(size)} pixels, width x height, as the model takes them."
    if names:
        yield f"{len(names)} classes: {', '.join(names)}."


def _counts(listing: Listing) -> str:
    counts = each({split: len(listing[split]) for split in SPLITS})
    drawn = [split for split in SPLITS if split in listing.sampled]
    parted = np.concatenate([listing[split].groups for split in ("train", *drawn)])
    groups = len(np.unique(parted))
    kept = f", in {groups:,} groups (tracks, recordings, blocks of frames) that stay whole"
    whole = kept if drawn and groups < len(parted) else ""
    layout = f"{listing.layout}: " if listing.layout else ""
    return f"{layout}{counts} images; {how_split(drawn)}{whole}."


def how_split(drawn: Sequence[str]) -> str:
    """Returns how the splits were made, where these of them are not given."""
    if not drawn:
        return "the splits are as given"
    are = "are" if drawn[1:] else "is"
    return f"{' and '.join(drawn)} {are} drawn at random (--set=task.split_seed=1 draws others)"


def each(numbers: Mapping[str, object]) -> str:
    """Returns `60 train, 15 val and 15 test`."""
    *first, last = [f"{number:,} {split}" for split, number in numbers.items()]
    return f"{', '.join(first)} and {last}"


def _opened(listing: Listing) -> tuple[list[tuple[int, int]], tuple[list[str], int]]:
    """Returns (height, width) of some images, and those that cannot be opened, with the number of all tried."""
    chosen = [part.files[index] for part, index in _spread(listing, OPENED)]
    found, unread = [], []
    for file in chosen:
        try:
            found.append(size_of(file))
        except UnreadableImage as error:
            unread.append(f"{error.file} ({error.reason})")
    return found, (unread, len(chosen))


def _spread(listing: Listing, count: int) -> list[tuple[Split, int]]:
    """Returns so many images, or all, evenly spread over the splits, each as its split and its index there."""
    lengths = np.array([len(listing[split]) for split in SPLITS])
    places = np.unique(np.linspace(0, lengths.sum() - 1, count).astype(int))
    owners = np.searchsorted(np.cumsum(lengths), places, side="right")
    begins = np.cumsum(lengths) - lengths
    return [(listing[SPLITS[owner]], int(place - begins[owner])) for owner, place in zip(owners, places, strict=True)]


def _sizes(listing: Listing, sizes: Sequence[tuple[int, int]], size: tuple[int, int]) -> str:
    if not sizes:
        return "No image can be opened."
    sides = np.array(sizes)
    least, most = sides[sides.prod(1).argmin()], sides[sides.prod(1).argmax()]
    one = (sides == sides[0]).all()
    spread = f"All are {_side(sides[0])}" if one else f"They are from {_side(least)} to {_side(most)}"
    looked = "" if sum(map(len, listing.splits.values())) <= OPENED else f" (of {len(sizes):,} that were opened)"
    return f"{spread} pixels, width x height{looked}; they become {_side(size)} for the model."


def _side(size: Sequence[int]) -> str:
    return f"{size[1]} x {size[0]}"


def _ids(labels: np.ndarray) -> np.ndarray:
    """Returns the class ids that images show, int64 [m]: one of each image, or of several labels all that are there."""
    return labels if labels.ndim == 1 else np.nonzero(labels)[1]


def _of_boxes(truths: Mapping[str, Truths]) -> dict[str, np.ndarray]:
    return {split: part.whole.classes[~part.whole.crowd] for split, part in truths.items()}


def classes(labels: Mapping[str, np.ndarray], names: Sequence[str], what: str) -> Iterator[str]:
    """Yields how many of each class there are, and how uneven that is."""
    counts = np.stack([np.bincount(labels[split], minlength=len(names)) for split in SPLITS], 1)
    order = np.argsort(-counts[:, 0], kind="stable")
    shown = order if len(names) <= SHOWN else order[-SHOWN:]
    told = ", ".join(f"{names[label]} {'/'.join(f'{count:,}' for count in counts[label])}" for label in shown)
    which = "" if len(shown) == len(names) else f"; the {SHOWN} rarest"
    yield f"{len(names)} classes{which}, in {what} of {'/'.join(SPLITS)}: {told}."
    seen = counts[counts[:, 0] > 0, 0]
    if len(seen) > 1 and seen.max() >= 3 * seen.min():
        ratio = seen.max() / seen.min()
        yield f"Of the most frequent class, train has {ratio:.3g} times as many {what} as of the rarest."


def _boxes(listing: Listing, truths: Mapping[str, Truths], size: tuple[int, int], resize: Resize) -> Iterator[str]:
    """Yields how many images are empty, how many boxes are crowds, and which are too small for the model's input."""
    empty = {split: int((part.counts == 0).sum()) for split, part in truths.items()}
    if any(empty.values()):
        yield f"Images without an object: {each(empty)}."
    # A region that no class cares about is one crowd of every class.
    if crowds := sum(map(_crowds, truths.values())):
        are = "boxes are" if crowds > 1 else "box is"
        yield f"{crowds:,} {are} marked as crowd, difficult or not to care about: nothing found there counts as wrong."
    small, total = np.zeros(len(listing.class_names), np.int64), np.zeros(len(listing.class_names), np.int64)
    for split, part in truths.items():
        moved = part.resized(listing[split].sizes, size, resize).whole
        tiny = (moved.boxes[:, 2:] - moved.boxes[:, :2]).min(-1, initial=np.inf) < SMALL
        small += np.bincount(moved.classes[tiny & ~moved.crowd], minlength=len(small))
        total += np.bincount(moved.classes[~moved.crowd], minlength=len(small))
    if small.any():
        worst = np.argsort(-small / np.maximum(total, 1), kind="stable")[:3]
        told = ", ".join(f"{listing.class_names[one]} {small[one] / total[one]:.0%}" for one in worst if small[one])
        yield (
            f"{small.sum() / total.sum():.0%} of the boxes have a side under {SMALL:g} pixels at {_side(size)} ({told})"
            "; a larger --set=task.image_size=HEIGHT,WIDTH shows them, and costs time."
        )


def _crowds(truths: Truths) -> int:
    """Returns the number of boxes of crowds that differ in their image or place."""
    crowd = truths.whole.crowd
    return len(np.unique(np.column_stack([truths.images[crowd], truths.whole.boxes[crowd]]), axis=0))


def _pixels(listing: Listing, size: tuple[int, int], resize: Resize) -> tuple[str, tuple[list[str], int]]:
    """Returns how many of the pixels of some masks are of which class, and the masks that cannot be used, as above."""
    chosen = _spread(listing, READ)
    counts, unread = np.zeros(IGNORE + 1, np.int64), []
    for part, index in chosen:
        try:
            mask = read_mask(part.masks[index], part.files[index], part.ids, size, resize)
            counts += np.bincount(mask.ravel(), minlength=len(counts))
        except UnreadableImage as error:
            unread.append(f"{error.file} ({error.reason})")
    known = counts[: len(listing.class_names)]
    order = np.argsort(-known, kind="stable")
    parts = [f"{listing.class_names[label]} {known[label] / max(known.sum(), 1):.2%}" for label in order]
    none = f" {counts[IGNORE] / max(counts.sum(), 1):.0%} of all pixels are of no class." if counts[IGNORE] else ""
    told = f", in pixels of {len(chosen) - len(unread):,} masks: {', '.join(parts)}" if known.any() else ""
    return f"{len(known)} classes{told or ': ' + ', '.join(listing.class_names)}.{none}", (unread, len(chosen))


def _numbers(listing: Listing) -> Iterator[str]:
    labels = {split: listing[split].labels for split in SPLITS}
    names = labels["train"].dtype.names or ("",)
    for name in names:
        train = (labels["train"][name] if name else labels["train"]).reshape(len(labels["train"]), -1)
        if train.shape[1] == 1:
            yield f"{name.capitalize() or 'What is predicted,'} in train: {spread(train)}."


def spread(numbers: np.ndarray) -> str:
    """Returns the range of numbers, [n], their mean, their deviation, and the number that most of them are, if any."""
    mean, deviation = numbers.mean(dtype=np.float64), numbers.std(dtype=np.float64)
    values, counts = np.unique(numbers, return_counts=True)
    often, share = values[counts.argmax()], counts.max() / len(numbers)
    most = f", {share:.0%} are exactly {often:.4g}" if share >= _OFTEN else ""
    return f"{values[0]:.4g} to {values[-1]:.4g}, mean {mean:.3g}, standard deviation {deviation:.3g}{most}"


def _alike(found: Found) -> str:
    compared = f"of {each(found.compared)} images that were compared"
    if not found.near:
        return f"No image of val or test looks like one of another split, {compared}."
    counts = {
        (split, other): sum((one.split, one.other_split) == (split, other) for one in found.near)
        for split, other in (("val", "train"), ("test", "train"), ("test", "val"))
    }
    told = ", ".join(f"{count:,} of {split} like one of {other}" for (split, other), count in counts.items() if count)
    pairs = "; ".join(f"{Path(one.file).name} and {Path(one.other_file).name}" for one in found.near[:_PAIRS])
    return f"Images that look alike across splits, whose score says little of new ones: {told} ({pairs}), {compared}."
