"""Lists a CSV file of images that have several labels or none: a column of 0 and 1 for each label, or one of names.

Names stand in one cell between ; or |, as "car; sign". Files, splits and groups are found as in other lists of images.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from tfmo_drive.base import faults
from tfmo_drive.contracts import BadInput
from tfmo_drive.data.class_names import beside, clean, is_missing, no_class, ordered, quoted, refuse_unfit
from tfmo_drive.data.csv_table import Table, number_in
from tfmo_drive.data.layouts.columns import COLUMNS
from tfmo_drive.data.layouts.csv_listing import OtherKind, find_columns, listed, only_table, table_at
from tfmo_drive.data.layouts.known_layouts import unwrapped
from tfmo_drive.data.layouts.split_tables import split_tables
from tfmo_drive.data.splitting import SPLITS, Listing, unseen


@dataclasses.dataclass(frozen=True, kw_only=True)
class LabelColumns:
    """Names a CSV's columns; empty names are found by the usual ones. `labels` is the column of names, if any."""

    file: str = ""
    labels: str = ""
    split: str = ""
    group: str = ""


_KINDS = {kind: names for kind, names in COLUMNS.items() if kind != "label"} | {
    "labels": ("labels", "tags", "label", "classes")
}
_LEAST = 0.5
"""The share of cells that are 0 or 1 from which a column is one of a label."""


def list_labels(
    path: str | Path,
    class_names: Sequence[str] = (),
    columns: Mapping[str, str] | None = None,
    seed: int = 0,
    skip_bad: bool = False,
) -> Listing:
    """Returns the images of a CSV file with their labels, float32 [n, labels] of 0 and 1.

    Missing splits are sampled by whole groups.

    Args:
        path: The CSV file, or a folder with one for every split (split_tables).
        class_names: The labels' names in the order of the model's outputs; by default those of classes.json or
            classes.txt beside the CSV, else the columns in their order, or all names in alphabetical order.
        columns: The columns that cannot be guessed, as {"labels": "tags"}.
        seed: The seed of sampled splits.
        skip_bad: Whether rows without an image of their own, or with a cell that is neither 0 nor 1, are left out.

    Raises:
        BadInput: There are no labels, a name is none, no label tells a split's images apart, or rows are odd and must
            not be skipped.
    """
    path = unwrapped(Path(path))
    whole = path.is_dir() and bool(split_tables(path))
    table = table_at(path if whole else only_table(path, "images and labels"))
    path = table.path
    found = find_columns(path, table.header, columns or {}, _KINDS, ("file",))
    known = tuple(class_names or beside(path.parent) or ())
    refuse_unfit(path, known, said=True)
    if "labels" in found:
        place, separated = found["labels"], [_names_of(cell) for cell in table.column(found["labels"])]
        names = known or ordered(path, {name for one in separated for name in one})
        for row, words in enumerate(separated):
            if odd := [word for word in words if word not in names]:
                raise BadInput(f"{table.line(row)}: {no_class(odd[0], names)}")

        def values_of(row: Sequence[str]) -> tuple[list[float], str]:
            own = _names_of(row[place])
            return [float(name in own) for name in names], row[place]
    else:
        places = _label_columns(table, set(found.values()), known)
        names = known or tuple(places)

        def values_of(row: Sequence[str]) -> tuple[list[float] | None, str]:
            cells = {name: row[place] for name, place in places.items()}
            odd = next((cell for cell in cells.values() if number_in(cell) not in (0, 1)), None)
            return (None if odd is not None else [float(cells.get(name, 0)) for name in names]), odd or ""

    fault = "a cell of a label that is neither 0 nor 1"
    listing = listed(table, found, values_of, fault, seed, skip_bad)
    layout = "a CSV file of images and labels"
    return _with_all_shown(path, dataclasses.replace(listing, class_names=names, layout=layout))


def _names_of(cell: str) -> set[str]:
    """Returns the names in a cell; none where it is empty, or says that nothing is known."""
    return {clean(name) for name in re.split("[;|]", cell) if not is_missing(name)}


def _label_columns(table: Table, others: set[int], known: Sequence[str]) -> dict[str, int]:
    """Returns the places of the labels' columns by name: those of the known names, else all that hold 0 and 1."""
    free = {clean(name): place for place, name in enumerate(table.header) if place not in others}
    if known:
        found = {name: free[clean(name)] for name in known if clean(name) in free}
    else:
        shares = {
            name: np.mean([number_in(cell) in (0, 1) for cell in table.column(place)]) for name, place in free.items()
        }
        found = {name: free[name] for name, share in shares.items() if share > _LEAST}
        refuse_unfit(table.path, list(found), said=False)
    if not found:
        raise OtherKind(
            f"{table.path} has no column of labels (labels, tags) and none of 0 and 1 for each; it has "
            f"{quoted(table.header)}. Call the column of names labels, or say --set=task.columns.labels=NAME."
        )
    if left := [name for name in free if name not in found]:
        faults.note(table.path, f"columns that are taken for no label: {quoted(left)}.")
    return found


def _with_all_shown(path: Path, listing: Listing) -> Listing:
    """Returns the listing; raises BadInput where no label tells a split's images apart.

    It warns of labels that train does not show.
    """
    names = listing.class_names
    for split in SPLITS:
        labels = listing[split].labels
        if not labels.any():
            raise BadInput(f"{path}: no image of {split} has a label, so it has no score. Add some, or give the split.")
        if not np.ptp(labels, axis=0).any():
            raise BadInput(
                f"{path}: all images of {split} have the same labels, so none tells them apart and there is no score. "
                "Add images without a label, or give the split."
            )
    absent = unseen(names, np.nonzero(listing["train"].labels)[1])
    if absent:
        faults.note(path, f"no training image of label {quoted(absent)}, so it cannot be learned.")
    return listing
