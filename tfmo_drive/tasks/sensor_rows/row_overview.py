"""Says in sentences what rows hold: how many of which split, the inputs, and what is to be predicted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from tfmo_drive.contracts import BadInput
from tfmo_drive.data import overview
from tfmo_drive.data.csv_table import number_in
from tfmo_drive.data.splitting import SPLITS
from tfmo_drive.tasks.sensor_rows.packed_rows import RowExamples, RowSource

_NAMED = 12
"""The number of inputs that a sentence names."""


def sentences(
    source: RowSource, splits: Mapping[str, RowExamples], drawn: Sequence[str], class_names: Sequence[str]
) -> Iterator[str]:
    """Yields what there is to know before training, a sentence each.

    Args:
        source: Where the rows come from.
        splits: The rows of train, val and test.
        drawn: The splits that the data do not give.
        class_names: The classes' names in the order of their ids; () where a number is predicted.
    """
    counts = overview.each({split: len(splits[split]) for split in SPLITS})
    groups = len(np.unique(np.concatenate([splits[split].groups for split in SPLITS])))
    yield f"{source.layout}: {counts} rows, in {groups:,} {source.grouped}; {overview.how_split(drawn)}."
    more = f" and {len(source.columns) - _NAMED:,} more" if len(source.columns) > _NAMED else ""
    one = len(source.columns) == 1
    shown = ", ".join(source.columns[:_NAMED])
    yield f"{len(source.columns):,} column{'' if one else 's'} {'is an input' if one else 'are inputs'}: {shown}{more}."
    refuse_numbers(source, class_names, len(splits["train"]))
    labels = {split: splits[split].labels.reshape(-1) for split in SPLITS}
    if class_names:
        yield f"To be predicted: {source.predicted}, a class."
        yield from overview.classes(labels, class_names, "rows")
    else:
        unit = f", in {source.unit}" if source.unit else ""
        yield f"To be predicted: {source.predicted}, a number{unit}; in train {overview.spread(labels['train'])}."


def refuse_numbers(source: RowSource, class_names: Sequence[str], rows: int) -> None:
    """Raises BadInput where the classes are numbers, and so many for these train rows that they are none."""
    numbers = [number_in(name) for name in class_names]
    if 2 * len(numbers) > rows and None not in numbers and any(number % 1 for number in numbers):
        raise BadInput(
            f"{source.name}: {source.predicted} holds {len(class_names):,} numbers in so few rows that they are no "
            "classes. Add --set=task.predicts=number, or name another column with --set=task.columns.target=NAME."
        )
