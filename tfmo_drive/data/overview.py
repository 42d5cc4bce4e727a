"""Says in sentences what a listing holds: counts, sizes, classes, small boxes, and what is alike across splits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from tfmo_drive.data.boxes import Truth
from tfmo_drive.data.images import Resize, UnreadableImage, size_of
from tfmo_drive.data.near_duplicates import Found, near_duplicates
from tfmo_drive.data.splitting import SPLITS, Listing, Split

OPENED = 500
"""The number of images whose headers say how large images are."""
SMALL = 8.0
"""The side in pixels of the model's input below which a box is hard to find for any detector."""
SHOWN = 12
"""The number of classes that a sentence names; of more, the rarest."""
_PAIRS = 3
"""The number of pairs of near-duplicates that a sentence names."""


def sentences(listing: Listing, size: tuple[int, int], resize: Resize) -> Iterator[str]:
    """Yields what there is to know before training, a sentence each.

    Args:
        listing: The data.
        size: (height, width) of the model's input.
        resize: The rule of resizing.
    """
    yield _counts(listing)
    yield _sizes(listing, size)
    truths = {split: _truths(listing[split]) for split in SPLITS}
    if any(truths.values()):
        yield from _classes(_of_boxes(truths), listing.class_names, "objects")
        yield from _boxes(listing, truths, size, resize)
    elif listing.class_names and all(_is_ids(listing[split]) for split in SPLITS):
        labels = {split: listing[split].labels for split in SPLITS}
        yield from _classes(labels, listing.class_names, "images")
    elif all(_is_numbers(listing[split]) for split in SPLITS) and not listing.class_names:
        yield from _numbers(listing)
    yield _alike(near_duplicates({split: listing[split] for split in SPLITS}))


def _counts(listing: Listing) -> str:
    counts = _each({split: len(listing[split]) for split in SPLITS})
    drawn = [split for split in SPLITS if split in listing.sampled]
    how = f"{' and '.join(drawn)} {'are' if drawn[1:] else 'is'} drawn by task.split_seed" if drawn else "as given"
    groups = len(np.unique(np.concatenate([listing[split].groups for split in SPLITS])))
    total = sum(len(listing[split]) for split in SPLITS)
    whole = f", in {groups:,} groups (tracks, recordings) that stay whole" if drawn and groups < total else ""
    layout = f"{listing.layout}: " if listing.layout else ""
    return f"{layout}{counts} images; {how}{whole}."


def _each(numbers: Mapping[str, object]) -> str:
    """Returns `60 train, 15 val and 15 test`."""
    *first, last = [f"{number:,} {split}" for split, number in numbers.items()]
    return f"{', '.join(first)} and {last}"


def _sizes(listing: Listing, size: tuple[int, int]) -> str:
    files = [file for split in SPLITS for file in listing[split].files]
    chosen = [files[index] for index in np.unique(np.linspace(0, len(files) - 1, OPENED).astype(int))]
    found, odd = [], 0
    for file in chosen:
        try:
            found.append(size_of(file))
        except UnreadableImage:
            odd += 1
    unread = f" {odd:,} of {len(chosen):,} cannot be opened." if odd else ""
    becomes = f"they become {_side(size)} for the model."
    if not found:
        return f"No image can be opened.{unread}"
    sides = np.array(found)
    least, most = sides[sides.prod(1).argmin()], sides[sides.prod(1).argmax()]
    one = (sides == sides[0]).all()
    spread = f"All are {_side(sides[0])}" if one else f"They are from {_side(least)} to {_side(most)}"
    looked = "" if len(chosen) == len(files) else f" (of {len(chosen):,} that were opened)"
    return f"{spread} pixels, width x height{looked}; {becomes}{unread}"


def _side(size: Sequence[int]) -> str:
    return f"{size[1]} x {size[0]}"


def _is_ids(split: Split) -> bool:
    return split.labels.dtype.kind == "i" and split.labels.ndim == 1 and not hasattr(split, "masks")


def _is_numbers(split: Split) -> bool:
    return split.labels.dtype.names is not None or split.labels.dtype.kind == "f"


def _truths(split: Split) -> Sequence[Truth]:
    return getattr(split, "truths", ())


def _of_boxes(truths: Mapping[str, Sequence[Truth]]) -> dict[str, np.ndarray]:
    none = [np.zeros(0, np.int64)]
    return {split: np.concatenate([one.classes[~one.crowd] for one in part] or none) for split, part in truths.items()}


def _classes(labels: Mapping[str, np.ndarray], names: Sequence[str], what: str) -> Iterator[str]:
    """Yields how many of each class there are, and how uneven that is."""
    counts = np.stack([np.bincount(labels[split], minlength=len(names)) for split in SPLITS], 1)
    order = np.argsort(-counts[:, 0], kind="stable")
    shown = order if len(names) <= SHOWN else order[-SHOWN:]
    told = ", ".join(f"{names[label]} {'/'.join(f'{count:,}' for count in counts[label])}" for label in shown)
    which = "" if len(shown) == len(names) else f", the rarest {SHOWN}"
    yield f"{len(names)} classes{which}, in {what} of {'/'.join(SPLITS)}: {told}."
    seen = counts[counts[:, 0] > 0, 0]
    if len(seen) > 1 and seen.max() >= 3 * seen.min():
        ratio = seen.max() / seen.min()
        yield f"Of the most frequent class, train has {ratio:.3g} times as many {what} as of the rarest."


def _boxes(
    listing: Listing, truths: Mapping[str, Sequence[Truth]], size: tuple[int, int], resize: Resize
) -> Iterator[str]:
    """Yields how many images are empty, how many boxes are crowds, and which are too small for the model's input."""
    empty = {split: sum(not len(one) for one in part) for split, part in truths.items()}
    if any(empty.values()):
        yield f"Images without an object: {_each(empty)}."
    if crowds := sum(int(one.crowd.sum()) for part in truths.values() for one in part):
        yield f"{crowds:,} boxes are crowds or difficult: finding something there is neither right nor wrong."
    small, total = np.zeros(len(listing.class_names), np.int64), np.zeros(len(listing.class_names), np.int64)
    for split, part in truths.items():
        for truth, sides in zip(part, listing[split].sizes.tolist(), strict=True):
            moved = truth.resized(tuple(sides), size, resize)
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


def _numbers(listing: Listing) -> Iterator[str]:
    labels = {split: listing[split].labels for split in SPLITS}
    names = labels["train"].dtype.names or ("",)
    for name in names:
        train = (labels["train"][name] if name else labels["train"]).reshape(len(labels["train"]), -1)
        if train.shape[1] == 1:
            parts = f"{train.min():.4g} to {train.max():.4g}, mean {train.mean():.3g}, deviation {train.std():.3g}"
            yield f"{name.capitalize() or 'The number'} in train: {parts}."


def _alike(found: Found) -> str:
    compared = f"of {_each(found.compared)} images that were compared"
    if not found.near:
        return f"No image of val or test looks like one of another split, {compared}."
    counts = {
        (split, other): sum((one.split, one.other_split) == (split, other) for one in found.near)
        for split, other in (("val", "train"), ("test", "train"), ("test", "val"))
    }
    told = ", ".join(f"{count:,} of {split} like one of {other}" for (split, other), count in counts.items() if count)
    pairs = "; ".join(f"{Path(one.file).name} and {Path(one.other_file).name}" for one in found.near[:_PAIRS])
    return f"Images that look alike across splits, whose score says little of new ones: {told} ({pairs}), {compared}."
