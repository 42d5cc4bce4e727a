"""Warns of images that occur twice, and leaves them out of train where asked.

Across splits a score is one of memory, and under two classes they teach neither.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tfmo_drive.base import faults
from tfmo_drive.base.cache import digest
from tfmo_drive.contracts import Arrays, BadInput, Examples
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
                said = (
                    f"{shares} are those of train, pixel by pixel: their score says nothing of new ones. "
                    "--set=task.duplicates=drop leaves them out of train."
                )
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


class Without(Examples):
    """Holds other examples but for some of them."""

    def __init__(self, examples: Examples, kept: np.ndarray) -> None:
        self.examples, self.kept = examples, kept
        self.groups, self.digests = examples.groups[kept], examples.digests[kept]
        self.attributes = {name: values[kept] for name, values in examples.attributes.items()}
        self.fingerprint = digest([examples.fingerprint, kept.tolist()])

    @property
    def labels(self) -> np.ndarray:
        return self.examples.labels[self.kept]

    def __len__(self) -> int:
        return len(self.kept)

    def read(self, indices: np.ndarray) -> tuple[Arrays, Arrays]:
        return self.examples.read(self.kept[np.asarray(indices, np.int64) % len(self)])


def without_repeated(source: str, splits: Mapping[str, Examples]) -> dict[str, Examples]:
    """Returns the splits, of which train has no image that val or test shows too, pixel by pixel; a note counts them.

    Raises BadInput where nothing is left of train.
    """
    train = splits["train"]
    kept = np.flatnonzero(~np.isin(train.digests, np.concatenate([splits[split].digests for split in SPLITS[1:]])))
    if not len(kept):
        raise BadInput(f"{source}: every train image is one of val or test, so that task.duplicates=drop leaves none.")
    if len(kept) == len(train):
        return dict(splits)
    gone = len(train) - len(kept)
    faults.note(source, f"{gone:,} of {len(train):,} images are left out of train: val or test shows them too.")
    return {**splits, "train": Without(train, kept)}
