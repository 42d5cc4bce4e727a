"""Say what a folder or file of data holds and which task reads it, and draw its truth; nothing is trained.

    tfmo-drive look path/to/data
    tfmo-drive look path/to/data --experiment=detection --set=task.image_size=256
    tfmo-drive look path/to/table.csv --set=task.columns.label=sign

Prints the layout that was found, how many images are in which split, their sizes and classes, what was left out and
why, boxes that are too small for the model's input, and images that look alike across splits. A contact sheet with the
truth over it is written to runs/look (--out). Without --experiment, what lies there says which task it is for. The exit
code is 1 where the data cannot be used as they are, and a line says what to type.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from absl import flags
from PIL import Image

from tfmo_drive.base import atomic, inputs, outputs
from tfmo_drive.base.faults import note
from tfmo_drive.commands import experiment_flags, shared_flags
from tfmo_drive.contracts import BadInput
from tfmo_drive.data.layouts import known_layouts
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
_FOLDERS = ("post_training", "sensor_rows")
"""Experiments that read folders which show no layout by their names."""
_TABLES = ("detection", "lane", "post_training", "labels_post_training", "distance", "sensor_rows")
"""Experiments that read tables, those first that ask for the most columns."""


def main(argv: list[str]) -> int:
    """Prints what the data hold, draws them, and returns the exit code."""
    data = _data(argv)
    found, errors = [], []
    shown = _shown(data)
    for name in shown or (_TABLES if data.is_file() else _FOLDERS):
        try:
            task = _task(name, data)
            found.append((name, task, list(task.data_sentences())))
        except BadInput as error:
            errors.append(error)
            continue
        if not shown:
            break
    if not found:
        raise errors[0]
    for error in errors if shown else ():
        note(data, str(error))
    for name, task, sentences in found:
        print(f"{data}, for --experiment={name} and those like it:")
        print(*(f"  {sentence}" for sentence in sentences), sep="\n")
        if hasattr(task, "listing"):
            print(f"  Drawn with its truth: {_drawn(task, name, data)}")
    return 0


def _data(argv: list[str]) -> Path:
    given = [*argv[1:], *([FLAGS.data] if FLAGS.data else [])]
    if len(given) != 1:
        raise BadInput(f"Name one folder or file: tfmo-drive look path/to/data; got {len(given)}.")
    data = Path(given[0])
    if not data.exists():
        raise BadInput(f"There is no {data}. Name a folder of images, or a file that lists them; see data/README.md.")
    return data


def _shown(data: Path) -> tuple[str, ...]:
    """Returns the experiment that is asked for, or those whose layouts the folder shows by its names."""
    if FLAGS.experiment:
        return (FLAGS.experiment,)
    return tuple(kind.experiment for name, kind in known_layouts.KINDS.items() if known_layouts.layouts(data, name))


def _task(name: str, data: Path) -> ImageTask:
    from tfmo_drive.base.overrides import override

    FLAGS.data = str(data)
    task = override(experiment_flags.experiment(name), experiment_flags.assignments()).task
    if not hasattr(task, "data_sentences"):
        raise BadInput(f"--experiment={name} is about no data of its own that can be looked at. Name another.")
    return task


def _drawn(task: ImageTask, name: str, data: Path) -> Path:
    """Returns the path of a picture of some images with their truth, written there."""
    pictures = [Image.fromarray(picture) for picture in _rendered(task)]
    across = min(_ACROSS, len(pictures))
    width, height = (max(getattr(one, side) for one in pictures) + _GAP for side in ("width", "height"))
    size = across * width - _GAP, -(-len(pictures) // across) * height - _GAP
    sheet = Image.new("RGB", size, "white")
    for place, picture in enumerate(pictures):
        sheet.paste(picture, (place % across * width, place // across * height))
    path = Path(FLAGS.out or "runs/look") / f"{data.resolve().stem}_{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic.file(path) as temporary:
        sheet.save(temporary, "PNG")
    return path


def _rendered(task: ImageTask) -> Iterator[np.ndarray]:
    """Yields images of all splits with their truth, evenly spaced, at the size of the model's input or larger."""
    from tfmo_drive.protocols import Rendered
    from tfmo_drive.scores import pictures

    listing, share = task.listing, -(-SHOWN // len(SPLITS))
    for split in SPLITS:
        chosen = np.unique(np.linspace(0, len(listing[split]) - 1, min(share, len(listing[split]))).astype(int))
        few = task.with_listing(Listing(listing.class_names, dict.fromkeys(SPLITS, listing[split].at(chosen))))
        raw, targets = few.packed("test").read(np.arange(len(chosen)))
        for index, image in enumerate(pictures.shown(inputs.seen(raw), None)):
            target = outputs.at(targets, index)
            if task.offers(Rendered):
                yield few.rendered_truth(image, target)
            else:
                yield pictures.captioned(image, _caption(listing, target))


def _caption(listing: Listing, target: np.ndarray) -> str:
    """Returns what is known of an image: its class, or its labels."""
    names = listing.class_names
    return names[int(target)] if np.ndim(target) == 0 else ", ".join(np.array(names)[np.asarray(target) > 0])
