"""Lists images and their masks, in whichever of the layouts in data.layouts.masks they lie.

Frames of one drive are near-duplicates, so they are sampled and resampled in blocks (data.recordings); where there is
train and val but no test, val becomes test: it is what others report on. Only names are read here, and texts that tell
lanes; `pack` opens the images.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from tfmo_drive.base import faults
from tfmo_drive.contracts import BadInput
from tfmo_drive.data.class_names import beside, quoted, refuse_unfit
from tfmo_drive.data.layouts.known_layouts import MASKS, below, layouts, unwrapped
from tfmo_drive.data.layouts.masks import (
    bdd100k_masks,
    cityscapes_masks,
    culane,
    folders,
    kitti_masks,
    tusimple,
    voc_masks,
)
from tfmo_drive.data.layouts.masks.colours import (
    BLACK_AND_WHITE,
    COLOURS,
    Colour,
    agreed_palette,
    are_black_and_white,
    colours_in,
    held,
    names_in,
)
from tfmo_drive.data.layouts.masks.pairs import Pairs
from tfmo_drive.data.mask_files import IGNORE, LOSSLESS, MaskIds, MaskSplit
from tfmo_drive.data.paths import Paths
from tfmo_drive.data.recordings import blocks, drawn_whole
from tfmo_drive.data.splitting import SPLITS, Listing, missing, refuse_repeated_files, sampled_blocks, with_train

READERS: Mapping[str, Callable[[Path], Pairs]] = {
    "Cityscapes": cityscapes_masks.pairs,
    "BDD100K's masks": bdd100k_masks.pairs,
    "Pascal VOC's masks": voc_masks.pairs,
    "TuSimple's lanes": tusimple.pairs,
    "CULane's lanes": culane.pairs,
    "KITTI's masks": kitti_masks.pairs,
    "folders of images and of masks": folders.pairs,
}
"""The reader of each layout of known_layouts."""
UNKNOWN_CLASSES = ("unlabelled", "unlabeled", "void", "ignore", "ignored")
"""Names of what nobody labelled, which is no class (CamVid's class 11, Void)."""


_NAMES = (
    "Put the names of their ids into classes.txt there, one per line, from id 0 on; where colours are classes, both "
    f"into {COLOURS} (name,r,g,b)."
)


def list_masks(
    root: str | Path,
    class_names: Sequence[str] | None = None,
    ignore: int | None = None,
    seed: int = 0,
    skip_bad: bool = False,
) -> Listing:
    """Lists pairs of an image and a mask; every split is a MaskSplit.

    With a file of colours (class_dict.csv, label_colors.txt, labelmap.txt) in `root`, masks are colours, and where they
    are black and white, and no or two classes are named, these are the two. Missing
    splits are sampled out of train: whole recordings where there are enough of them, else whole blocks of neighbouring
    frames; blocks are the groups.

    Args:
        root: The folder.
        class_names: The names of the files' ids in order, by default those of classes.json or classes.txt in `root`, of
            Roboflow's _classes.csv, or those that the layout defines; as many as the layout's classes rename these.
            Classes called unlabelled or void are no classes; those behind them move up.
        ignore: One more id (0..255) that is no class, as 255 always is.
        seed: The seed of the sampling.
        skip_bad: Whether images without a mask, and masks without an image, are skipped.

    Raises:
        BadInput: A folder or the names are missing, or images and masks are no pairs (counted, ten named).
    """
    root = unwrapped(Path(root))
    layout = next(iter(layouts(root, MASKS)), "folders of images and of masks")
    found = READERS[layout](root)
    colours = colours_in(found.home) or ((found.home, found.colours) if found.colours else None)
    total = len(found.images) + len(found.odd)
    faults.refuse(root, found.odd, total, "images and masks are no pairs", skip_bad)
    if not found.images:
        advice = below(root, MASKS) or "See data/README.md."
        raise BadInput(f"{root} holds no images with their masks, as {layout} has them. {advice}")
    files = Paths(mask for mask in found.masks if isinstance(mask, str) and mask.lower().endswith(LOSSLESS))
    palette = agreed_palette(root, files) if colours is None else ()  # before any word of names, which would not help
    home = found.home
    named = tuple(class_names or (beside(home) or names_in(home) if home.is_dir() else ()))
    if colours is None and not found.names and len(named) in (0, 2) and are_black_and_white(files):
        levels = dict(zip(named or BLACK_AND_WHITE, BLACK_AND_WHITE.values(), strict=True))
        colours, palette, (black, white) = (home, levels), (), levels
        faults.note(root, f"masks are black and white: black is {quoted([black])}, white {quoted([white])}.")
    if not named and not found.names and colours is None:
        raise BadInput(f"{root}: nothing says what the masks mean: {held(files)}. {_NAMES}")
    names, ids = _classes(found, named, ignore, colours)
    ids = dataclasses.replace(ids, palette=palette)
    given = with_train(np.array(found.splits, "<U5"), root)
    found.splits = given.tolist()
    groups = _groups(found, given)
    places = sampled_blocks(
        given, drawn_whole(found.recordings, groups, np.isin(given, ("", "train"))), root, seed, found.images
    )
    whole = MaskSplit(found.images, np.zeros(len(groups), np.int64), groups, found.masks, ids)
    listed = {split: whole.at(np.flatnonzero(places == split)) for split in SPLITS}
    refuse_repeated_files(root, listed)
    return Listing(names, listed, layout, missing(given, blocks=True))


def _groups(found: Pairs, splits: np.ndarray) -> np.ndarray:
    """Returns the block of each pair, int64 [n]; blocks lie within a given split."""
    groups, count = np.empty(len(splits), np.int64), 0
    for split in dict.fromkeys(found.splits):
        members = np.flatnonzero(splits == split)
        # Sizes are not known yet; as one size, photographs are in blocks too, which is only too careful.
        groups[members] = blocks([found.frames[i] for i in members], np.zeros(len(members))) + count
        count = groups[members].max() + 1
    return groups


def _classes(
    found: Pairs, named: tuple[str, ...], ignore: int | None, colours: tuple[Path, Mapping[str, Colour]] | None
) -> tuple[tuple[str, ...], MaskIds]:
    """Returns the classes' names, and how the ids of files, or their colours, become classes."""
    home, (table, levels) = found.home, colours or (None, {})
    named = named or tuple(levels)
    refuse_unfit(home, named, said=True)
    if levels and set(named) != set(levels):
        odd = quoted(sorted(set(named) ^ set(levels)))
        raise BadInput(f"{table} must give each class its colour, and no others; they differ in {odd}.")
    void = set(found.ignored)
    if named and len(named) == len(found.names) - len(void):
        known = iter(named)
        named = tuple(name if number in void else next(known) for number, name in enumerate(found.names))
    elif named:
        void = set()
    named = named or found.names
    unknown = {number for number, name in enumerate(named) if name.lower() in UNKNOWN_CLASSES}
    ignored = sorted(void | unknown | ({ignore} if ignore is not None else set()))
    names = tuple(name for number, name in enumerate(named) if number not in ignored)
    if len(names) < 2 or len(named) > IGNORE:
        raise BadInput(f"{home}: masks need the names of 2..{IGNORE} classes, got {len(names)}. {_NAMES}")
    return names, MaskIds(len(named), tuple(ignored), tuple(levels[name] for name in named) if levels else ())
