"""Warns of images that occur twice: across splits a score is one of memory, under two classes they teach neither."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tfmo_drive.base import faults
from tfmo_drive.contracts import Examples
from tfmo_drive.data.splitting import SPLITS


def say_repeated(source: str, splits: Mapping[str, Examples], class_names: Sequence[str]) -> None:
    """Warns, with a count, of images that are equal pixel by pixel across splits, and of those under two classes.

    Images are compared as they are cached, at the model's size. Splits without digests are passed over.

    Args:
        source: The data's name, with which the line begins.
        splits: The examples of train, val and test.
        class_names: The classes' names; without them only splits are compared.
    """
    digests = {split: found for split in SPLITS if (found := getattr(splits[split], "digests", None)) is not None}
    if "train" in digests:
        for split in SPLITS[1:]:
            count = int(np.isin(digests.get(split, ()), digests["train"]).sum())
            if count:
                shares = f"{count:,} of {len(digests[split]):,} images of {split}"
                said = f"{shares} are those of train, pixel by pixel: their score says nothing of new ones."
                faults.note(source, said)
    labelled = {split: splits[split].labels for split in digests if splits[split].labels.dtype.kind == "i"}
    if class_names and labelled:
        both = np.concatenate([digests[split] for split in labelled])
        labels = np.concatenate(list(labelled.values()))
        images, members, counts = np.unique(both, return_inverse=True, return_counts=True)
        least, most = (np.full(len(images), start) for start in (len(class_names), -1))
        np.minimum.at(least, members, labels)
        np.maximum.at(most, members, labels)
        torn = np.flatnonzero(least < most)
        if len(torn):
            pair = " and ".join(f'"{class_names[label]}"' for label in (least[torn[0]], most[torn[0]]))
            faults.note(
                source,
                f"{int(counts[torn].sum()):,} of {len(labels):,} images are, pixel by pixel, under two classes or "
                f"more, such as {pair}.",
            )
