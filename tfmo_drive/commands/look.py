"""Say what a folder or file of data holds and which task reads it, and draw its truth; nothing is trained.

    tfmo-drive look                                    # the built-in driving scenes
    tfmo-drive look path/to/data
    tfmo-drive look path/to/data --experiment=detection --set=task.image_size=256
    tfmo-drive look path/to/table.csv --set=task.columns.label=sign

Prints the layout that was found, how many images are in which split, their sizes and classes, what was left out and
why, boxes that are too small for the model's input, and images that look alike across splits. A contact sheet with the
truth over it is written to runs/look (--out). Without --experiment, what lies there says which task it is for; without
data, the built-in ones of --experiment, or of one of each usual kind, are shown. The exit code is 1 where the data
cannot be used as they are, and a line says what to type.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from absl import flags, logging
from PIL import Image

from tfmo_drive.base import atomic, inputs, outputs
from tfmo_drive.base.faults import gathered, note
from tfmo_drive.commands import experiment_flags, shared_flags
from tfmo_drive.contracts import BadInput, Examples
from tfmo_drive.data import found_files
from tfmo_drive.data.csv_table import read_table
from tfmo_drive.data.layouts import known_layouts
from tfmo_drive.data.layouts.columns import COLUMNS
from tfmo_drive.data.layouts.csv_listing import OtherKind, find_columns
from tfmo_drive.data.layouts.split_tables import split_tables
from tfmo_drive.data.splitting import SPLITS, Listing

if TYPE_CHECKING:
    from tfmo_drive.tasks.image_task import ImageTask

FLAGS = flags.FLAGS
flags.adopt_module_key_flags(experiment_flags)
flags.adopt_module_key_flags(shared_flags)

SHOWN = 24
"""The number of images on the contact sheet, a third of them of each split."""
_ACROSS, _GAP = 6, 6
"""The images in a row of the contact sheet, and the pixels between them."""
_FOLDERS = ("post_training", "labels_post_training", "sensor_rows")
"""Experiments that read folders which show no layout by their names."""
_TABLES = ("detection", "lane", "post_training", "labels_post_training", "distance", "sensor_rows")
"""Experiments that read tables, those first that ask for the most columns."""
_GENERATED = 36
"""The built-in images of a split that are generated to show some: the fewest that every task takes."""
_BUILT_IN = ("post_training", "detection", "segmentation", "lane")
"""Experiments whose built-in data are shown where none is named."""


def main(argv: list[str]) -> int:
    """Prints what the data hold, draws them, and returns the exit code."""
    if (named := _data(argv)) is None:
        for name in (FLAGS.experiment,) if FLAGS.experiment else _BUILT_IN:
            _print(*_seen(name, None))
        return 0
    data = known_layouts.unwrapped(named)
    shown, tables = _shown(data), [] if data.is_file() else found_files.tables(data)
    tried = [(name, data) for name in shown or (_TABLES if data.is_file() else _FOLDERS)]
    if len(tables) == 1 and not shown:
        tried += [(name, tables[0]) for name in _TABLES]
    tried = [(name, place) for name, place in tried if shown or name != "labels_post_training" or _lists_labels(place)]
    errors: dict[tuple[str, Path], BadInput] = {}
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)  # what is noted of the data is printed in its place
    try:
        for name, place in tried:
            try:
                seen = _seen(name, place)
            except BadInput as error:
                errors[name, place] = error
                continue
            _print(*seen)
            if not shown:
                break
    finally:
        logging.set_verbosity(verbosity)
    if len(errors) == len(tried):
        inside = [] if shown else filter(None, (known_layouts.below(data, kind) for kind in known_layouts.KINDS))
        if said := next(iter(inside), ""):
            raise BadInput(f"{data} shows no layout itself. {said}")
        raise _reason(errors, tables[0] if len(tables) == 1 else data)
    for error in errors.values() if shown else ():
        note(data, str(error))
    return 0


def _data(argv: list[str]) -> Path | None:
    """Returns the folder or file that is named; None for the built-in data."""
    given = [*argv[1:], *([FLAGS.data] if FLAGS.data else [])]
    if given in ([], ["scenes"]):
        return None
    if len(given) != 1:
        raise BadInput(f"Name one folder or file: tfmo-drive look path/to/data; got {len(given)}.")
    data = Path(given[0])
    if not data.exists():
        raise BadInput(f"There is no {data}. Name a folder of images, or a file that lists them; see data/README.md.")
    found_files.refuse_archive(data)
    return data


def _shown(data: Path) -> tuple[str, ...]:
    """Returns the experiment that is asked for, or those whose layouts the folder shows by its names."""
    if FLAGS.experiment:
        return (FLAGS.experiment,)
    return tuple(kind.experiment for name, kind in known_layouts.KINDS.items() if known_layouts.layouts(data, name))


def _task(name: str, data: Path | None) -> ImageTask:
    from tfmo_drive.base.overrides import override

    FLAGS.data = None if data is None else str(data)
    task = override(experiment_flags.experiment(name), experiment_flags.assignments()).task
    if not hasattr(task, "data_sentences"):
        raise BadInput(f"--experiment={name} is about no data of its own that can be looked at. Name another.")
    return task


def _seen(name: str, data: Path | None) -> tuple[str, Path, ImageTask, list[str], BadInput | None]:
    """Returns the experiment, the data, its task, what that says of them, and why it cannot use them all the same.

    Raises BadInput where there is nothing to say.
    """
    task, sentences, refused = _task(name, data), [], None
    data = data or Path(task.data)
    with gathered() as notes:
        try:
            for sentence in task.data_sentences():
                sentences.append(sentence)
        except BadInput as error:
            if not sentences:
                raise
            refused = error
    more = [one.text[:1].upper() + one.text[1:] for one in notes]
    return name, data, task, sentences + [text for text in more if text not in sentences], refused


def _lists_labels(table: Path) -> bool:
    """Says whether a table, or those of a folder, may list several labels an image; of a class, none may be missing.

    A column that is called as one of classes is one of labels only where a cell holds several.
    """
    if table.is_dir():
        return bool(split_tables(table))
    if table.suffix.lower() != ".csv":
        return True
    try:
        read = read_table(table)
        found = find_columns(table, read.header, {}, {"label": COLUMNS["label"]}, ())
    except BadInput:
        return True
    return "label" not in found or any(";" in cell or "|" in cell for cell in read.column(found["label"]))


def _is_built_in(task: ImageTask) -> bool:
    """Says whether a task's data are those that it has where none are named."""
    return task.data == type(task).data


def _print(name: str, data: Path, task: ImageTask, sentences: Sequence[str], refused: BadInput | None) -> None:
    """Prints what is known of the data and draws them; raises `refused` then, if there is such."""
    print(f"{'Built-in data' if _is_built_in(task) else data}, for --experiment={name} and those like it:")
    print(*(f"  {sentence}" for sentence in sentences), sep="\n")
    try:
        if hasattr(task, "scenes" if _is_built_in(task) else "listing"):
            print(f"  Drawn with its truth: {_drawn(task, name, data)}")
            print(*_numbered(task.class_names), sep="\n", end="")
    except BadInput as error:
        raise refused or error from error
    if refused:
        raise refused


def _numbered(names: Sequence[str]) -> Iterator[str]:
    """Yields which classes are drawn as their numbers, where no font here has the letters of their names."""
    from tfmo_drive.scores.lettering import drawable

    pairs = enumerate(zip(names, drawable(names), strict=True))
    if odd := [f"{label} {name}" for label, (name, drawn) in pairs if name != drawn]:
        yield f"  No font here has the letters of {len(odd):,} classes, which are drawn as numbers: {', '.join(odd)}."


def _reason(errors: Mapping[tuple[str, Path], BadInput], data: Path) -> BadInput:
    """Returns why the data cannot be used: of a table of images, what the first says that finds its columns there."""
    from tfmo_drive.tasks.sensor_rows import drive_log

    first, rows = next(iter(errors.values())), errors.get(("sensor_rows", data))
    if rows is None or FLAGS.experiment or (data.is_dir() and not drive_log.is_log(data)):
        return first
    if data.suffix.lower() != ".csv":
        return rows
    images = {"file": [name for name in COLUMNS["file"] if name != "id"]}  # which rows of numbers have too
    if not find_columns(data, read_table(data).header, {}, images, ()):
        return rows
    told = [error for (name, _), error in errors.items() if name != "sensor_rows" and not isinstance(error, OtherKind)]
    return told[0] if told else errors.get(("post_training", data), first)


def _drawn(task: ImageTask, name: str, data: Path) -> Path:
    """Returns the path of a picture of some images with their truth, written there."""
    from tfmo_drive.scores import pictures

    drawn = [Image.fromarray(picture) for picture in _rendered(task)]
    across = min(_ACROSS, len(drawn))
    width, height = (max(getattr(one, side) for one in drawn) + _GAP for side in ("width", "height"))
    size = across * width - _GAP, -(-len(drawn) // across) * height
    names = task.mask_classes
    legend = pictures.legend(names, size[0]) if names else Image.new("RGBA", (0, 0))
    sheet = Image.new("RGB", (size[0], size[1] + legend.height), "white")
    for place, picture in enumerate(drawn):
        sheet.paste(picture, (place % across * width, place // across * height))
    sheet.paste(legend, (0, size[1]))
    path = Path(FLAGS.out or "runs/look") / f"{data.resolve().stem}_{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic.file(path) as temporary:
        sheet.save(temporary, "PNG")
    return path


def _rendered(task: ImageTask) -> Iterator[np.ndarray]:
    """Yields images of all splits with their truth, evenly spaced, at the size of the model's input or larger."""
    from tfmo_drive.protocols import Rendered
    from tfmo_drive.scores import pictures
    from tfmo_drive.scores.lettering import drawable

    for split in SPLITS:
        few, packed = _few(task, split)
        raw, targets = packed.read(np.arange(min(len(packed), -(-SHOWN // len(SPLITS)))))
        for index, image in enumerate(pictures.shown(inputs.seen(raw), None)):
            target = outputs.at(targets, index)
            if task.offers(Rendered):
                yield few.rendered_truth(image, target)
            else:
                yield pictures.captioned(image, _caption(drawable(task.class_names), target))


def _few(task: ImageTask, split: str) -> tuple[ImageTask, Examples]:
    """Returns the task on a few images of a split, and these; of built-in ones, the first of the endless set."""
    if _is_built_in(task):
        few = dataclasses.replace(task, scenes=dataclasses.replace(task.scenes, **dict.fromkeys(SPLITS, _GENERATED)))
        return few, few.packed(split)
    listing, share = task.listing, -(-SHOWN // len(SPLITS))
    chosen = np.unique(np.linspace(0, len(listing[split]) - 1, min(share, len(listing[split]))).astype(int))
    kept = Listing(listing.class_names, dict.fromkeys(SPLITS, listing[split].at(chosen)))
    few = dataclasses.replace(task, skip_bad=True).with_listing(kept)
    return few, few.packed("test")


def _caption(names: Sequence[str], target: np.ndarray) -> str:
    """Returns what is known of an image: its class, or its labels."""
    return names[int(target)] if np.ndim(target) == 0 else ", ".join(np.array(names)[np.asarray(target) > 0])
