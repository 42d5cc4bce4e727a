"""Lists images and their masks in folders: CamVid's layout (Brostow et al. 2009), as SegNet has it, and others.

    train/ + trainannot/    images/train/ + masks/train/    train/images/ + train/masks/    images/ + masks/

Frames of one drive are near-duplicates, so they are sampled and resampled in blocks (data.recordings); where there is
train and val but no test, val becomes test: it is what others report on. Only names are read here; `pack` opens the
files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from tfmo_drive.base import faults
from tfmo_drive.contracts import BadInput
from tfmo_drive.data.class_names import beside, quoted, refuse_unfit
from tfmo_drive.data.found_files import folders_in, walk
from tfmo_drive.data.images import SUFFIXES
from tfmo_drive.data.layouts.known_layouts import MASKS as KIND
from tfmo_drive.data.layouts.known_layouts import elsewhere
from tfmo_drive.data.layouts.mask_colours import COLOURS, Colour, class_colours, refuse_other_palettes
from tfmo_drive.data.mask_files import IGNORE, MaskIds, MaskSplit
from tfmo_drive.data.recordings import blocks
from tfmo_drive.data.splitting import SPLIT_WORDS, SPLITS, Listing, refuse_repeated_files, sampled_blocks

IMAGES = ("images", "image", "imgs", "img")
MASKS = ("masks", "mask", "labels", "annotations", "annot")
UNKNOWN_CLASSES = ("unlabelled", "unlabeled", "void", "ignore", "ignored")
"""Names of what nobody labelled, which is no class (CamVid's class 11, Void)."""
_LAYOUT = (
    "Expected train/ + trainannot/, images/train/ + masks/train/, train/images/ + train/masks/ or images/ + masks/."
)


def list_masks(
    root: str | Path,
    class_names: Sequence[str] | None = None,
    ignore: int | None = None,
    seed: int = 0,
    skip_bad: bool = False,
) -> Listing:
    """Lists pairs of an image and a mask PNG of one stem; every split is a MaskSplit.

    With class_dict.csv (name,r,g,b) in `root`, masks are colours. Missing splits are sampled out of train, in whole
    blocks of neighbouring frames; blocks are the groups.

    Args:
        root: The folder.
        class_names: The names of the files' ids in order, by default those of classes.json or classes.txt in `root`.
            Classes called unlabelled or void are no classes; those behind them move up.
        ignore: One more id (0..255) that is no class, as 255 always is.
        seed: The seed of the sampling.
        skip_bad: Whether images without a mask, and masks without an image, are skipped.

    Raises:
        BadInput: A folder or the names are missing, or images and masks are no pairs (counted, ten named).
    """
    root = Path(root)
    images, masks, splits, groups, odd = [], [], [], [], []
    colours = class_colours(root / COLOURS) if (root / COLOURS).exists() else None
    for split, (image_folder, mask_folder) in _places(root).items():
        found, annotated = _by_stem(image_folder, SUFFIXES, odd), _by_stem(mask_folder, (".png",), odd)
        pairs = [stem for stem in found if stem in annotated]
        odd += [f"{found[stem]} has no mask" for stem in found if stem not in annotated]
        odd += [f"{annotated[stem]} has no image" for stem in annotated if stem not in found]
        images += [found[stem] for stem in pairs]
        masks += [annotated[stem] for stem in pairs]
        splits += [split] * len(pairs)
        # Sizes are not known yet; as one size, photographs are in blocks too, which is only too careful.
        groups += (blocks([f"{stem}.png" for stem in pairs], [0] * len(pairs)) + len(groups)).tolist()
    faults.refuse(root, odd, len(images) + len(odd), "images and masks are no pairs", skip_bad)
    if colours is None:
        refuse_other_palettes(root, masks)
    names, ids = _classes(root, class_names, ignore, colours)
    places = sampled_blocks(np.array(splits, "<U5"), np.array(groups, np.int64), root, seed)
    listed = {}
    for split in SPLITS:
        members = np.flatnonzero(places == split)
        files, known = (tuple(paths[i] for i in members) for paths in (images, masks))
        listed[split] = MaskSplit(files, np.zeros(len(members), np.int64), np.array(groups)[members], known, ids)
    refuse_repeated_files(root, listed)
    return Listing(names, listed)


def _classes(
    root: Path, given: Sequence[str] | None, ignore: int | None, colours: Mapping[str, Colour] | None
) -> tuple[tuple[str, ...], MaskIds]:
    named = tuple(given or (beside(root) if root.is_dir() else None) or colours or ())
    refuse_unfit(root, named, said=True)
    if colours is not None and set(named) != set(colours):
        odd = quoted(sorted(set(named) ^ set(colours)))
        raise BadInput(f"{root / COLOURS} must give each class its colour, and no others; they differ in {odd}.")
    unknown = {number for number, name in enumerate(named) if name.lower() in UNKNOWN_CLASSES}
    ignored = sorted(unknown | ({ignore} if ignore is not None else set()))
    names = tuple(name for number, name in enumerate(named) if number not in ignored)
    if len(names) < 2 or len(named) > IGNORE:
        raise BadInput(
            f"{root}: masks need the names of 2..{IGNORE} classes, got {len(names)}. Put them into classes.txt there, "
            f"one per line, in the order of the ids; where colours are classes, into {COLOURS} (name,r,g,b)."
        )
    return names, MaskIds(len(named), tuple(ignored), tuple(colours[name] for name in named) if colours else ())


def _places(root: Path) -> dict[str, tuple[Path, Path]]:
    """Returns {split: (folder of images, folder of masks)}; the split is "" where all are still to be split."""
    folders = _subfolders(root)
    found: dict[str, tuple[Path, Path]] = {}
    images, masks = _called(folders, IMAGES), _called(folders, MASKS)
    if images and masks:
        parts = {word: (folder, _subfolders(masks).get(word)) for word, folder in _subfolders(images).items()}
    else:
        parts = {word: _inner(folder, folders) for word, folder in folders.items()}
    for word, (image_folder, mask_folder) in parts.items():
        if word not in SPLIT_WORDS:
            continue
        if image_folder is None or mask_folder is None:
            faults.note(root, f"there are no masks for {word}; it is left out.")
        elif found.setdefault(SPLIT_WORDS[word], (image_folder, mask_folder)) != (image_folder, mask_folder):
            raise BadInput(f"{root} holds one split twice: {quoted(list(parts))}. Keep one of them.")
    if not found and images and masks and not set(parts) & set(SPLIT_WORDS):
        found = {"": (images, masks)}
    used = {folder for pair in found.values() for folder in pair}
    spare = [word for word in parts if word not in SPLIT_WORDS and folders.get(word) not in used]
    if spare and "" not in found:
        faults.note(root, f"not read: {quoted(spare)}, no split.")
    if not {"", "train"} & set(found):
        raise BadInput(
            f"{root} holds no images and masks to train on, only {quoted(list(folders)) or 'files'}. "
            f"{elsewhere(root, KIND) or _LAYOUT}"
        )
    return found


def _inner(folder: Path, siblings: dict[str, Path]) -> tuple[Path | None, Path | None]:
    """Returns a split's folders of images and masks: train/ + trainannot/, or train/images/ + train/masks/."""
    word = folder.name.lower()
    beside_it = _called(siblings, [f"{word}{bar}{name}" for name in MASKS for bar in ("", "_")])
    if beside_it:
        return folder, beside_it
    inside = _subfolders(folder)
    return _called(inside, IMAGES), _called(inside, MASKS)


def _called(folders: dict[str, Path], names: Sequence[str]) -> Path | None:
    return next((folders[name] for name in names if name in folders), None)


def _subfolders(path: Path) -> dict[str, Path]:
    """Returns {name in lower case: folder}, sorted."""
    if not path.is_dir():
        raise BadInput(f"There is no folder {path}. {_LAYOUT}")
    found: dict[str, Path] = {}
    for child in folders_in(path):
        if found.setdefault(child.name.lower(), child) != child:
            raise BadInput(f"{found[child.name.lower()]} and {child.name} differ in case alone. Keep one of them.")
    return found


def _by_stem(folder: Path, suffixes: tuple[str, ...], odd: list[str]) -> dict[str, Path]:
    """Returns {path below the folder, without suffix: file}, sorted.

    A path that is no regular file is added to `odd`; files of another suffix are counted in a warning. Raises BadInput
    where there is no file, or two of one stem.
    """
    below, found = walk(folder, suffixes), {}
    below.say_left_out(folder)
    odd += below.odd
    for file in below.files:
        stem = str(file.relative_to(folder).with_suffix(""))
        if found.setdefault(stem, file) != file:
            raise BadInput(f"{found[stem]} and {file.name} have one stem, so their mask is not known. Keep one.")
    if not found:
        kind = "images" if suffixes == SUFFIXES else f"masks ({', '.join(suffixes)})"
        layout = elsewhere(folder.parent, KIND) or elsewhere(folder.parent.parent, KIND)
        raise BadInput(f"No {kind} under {folder}. {layout or _LAYOUT}")
    return found
