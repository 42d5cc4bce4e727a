"""Lists driving logs: a CSV of camera frames and how the driver steered (Bojarski et al. 2016, arXiv:1604.07316).

Udacity's simulator writes one without a header (CarController.cs of github.com/udacity/self-driving-car-sim): paths of
the recording machine, the wheels' angle over its maximum of 25 degrees, positive to the right, and the time in the
images' names. A donkeycar tub (layouts.donkey_tub) is such a log too. Beside the centre camera, images of cameras at
the left and right may be trained on, with the steering that would lead back to the middle (Bojarski et al., section 3).
"""

from __future__ import annotations

import dataclasses
import datetime
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from tfmo_drive.base import faults
from tfmo_drive.contracts import BadInput
from tfmo_drive.data import found_files
from tfmo_drive.data.csv_table import Table, number_in, read_table
from tfmo_drive.data.found_files import identity
from tfmo_drive.data.layouts.csv_listing import find_columns, read_splits
from tfmo_drive.data.layouts.donkey_tub import is_tub, read_tub
from tfmo_drive.data.layouts.known_layouts import DRIVING, below, elsewhere, unwrapped
from tfmo_drive.data.layouts.named_images import find_beside
from tfmo_drive.data.paths import Paths
from tfmo_drive.data.splitting import SPLITS, Listing, Rows, Split, assemble_blocks, refuse_repeated_files, with_train

CAMERA = "camera"
"""The attribute that says which camera took an image, where not all are of the centre's, and the column that does."""
COLUMNS = {
    "file": (
        "center",
        "centre",
        "file",
        "path",
        "filename",
        "image",
        "image_path",
        "image_name",
        "image_file",
        "img",
        "cam/image_array",
        "frame",
    ),
    "steering": ("steering", "steering_angle", "angle", "steer", "user/angle"),
    "throttle": ("throttle", "user/throttle", "gas"),
    "time": ("_timestamp_ms", "milliseconds"),
    "split": ("split", "set", "subset"),
    "speed": ("speed", "velocity", "vehicle_speed"),
    CAMERA: ("frame_id", "camera", "camera_id", "cam"),
}
SIDES = {"left": ("left", "left_image", "left_camera"), "right": ("right", "right_image", "right_camera")}
"""The columns of the cameras at the sides."""
_VALUES = ("steering", "throttle", "speed")
"""The columns that are listed where somebody asks for them."""
CLASSIC = ("center", "left", "right", "steering", "throttle", "brake", "speed")
"""The columns of a file without a header."""
HERTZ = 15.0
"""The frames per second where names hold no times: the simulator's own rate."""
BLOCK_SECONDS = 5.0
"""The length of a block: in the log that this was made with, steering is uncorrelated after 5 s (0.37 after 0.9 s)."""
FEWEST = 6
"""The smallest number of blocks from which splits are drawn."""
_PAUSE = 1.0
"""The seconds without a frame that end a recording."""
_TIME = re.compile(r"\d{4}(_\d\d){5}_\d{3}")


def list_log(
    path: str | Path,
    columns: Mapping[str, str] | None = None,
    limit: float = 1.0,
    seed: int = 0,
    skip_bad: bool = False,
    values: Sequence[str] = ("steering",),
) -> Listing:
    """Lists the frames of a log, of a folder with driving_log.csv, or of a donkeycar tub, in its order.

    Labels are the value, float32 [n, 1] in [-1, 1]; of several values each by its name, the first in [-1, 1].
    Images are looked for where the log says, beside it, and in its IMG/ or images/. Blocks of about 5 s are the
    groups, whatever the order of the lines, where images are called after their times. Missing splits are sampled
    out of train, block by block; where a log has train and val only, val becomes test (splitting.sampled_blocks).

    Args:
        path: The log, or its folder.
        columns: The columns that cannot be guessed, as {"steering": "wheel"} (see COLUMNS).
        limit: Full lock in the log's unit; steering must be in [-limit, limit] and is divided by it.
        seed: The seed of the sampling.
        skip_bad: Whether frames that cannot be used are skipped.
        values: What is listed of each frame: "steering" or "throttle", and perhaps "speed", in the log's unit.

    Raises:
        BadInput: The log or a column is missing; the value is out of range or no number, an image is missing, or it is
            that of an earlier frame (counted, ten named).
    """
    path = Path(path)
    if not 0 < limit < math.inf:
        raise BadInput(f"limit must be a positive number, full lock in the log's unit, got {limit}.")
    layout = "a donkeycar tub" if is_tub(unwrapped(path)) else "a driving log"
    table = _table(path)
    path = table.path
    kinds = {kind: names for kind, names in COLUMNS.items() if kind not in _VALUES or kind in values}
    found = find_columns(path, table.header, columns or {}, kinds, ("file", *values))
    table = _of_the_centre(table, found[CAMERA]) if CAMERA in found else table
    cells = {kind: table.column(index) for kind, index in found.items()}
    files = find_beside(path, cells["file"])
    numbers = {value: [number_in(text) for text in cells[value]] for value in values}
    splits = np.full(len(files), "", "<U5")
    if "split" in found:
        splits = with_train(read_splits(table, found["split"]), path)
    kept, odd, seen = [], [], set()
    for row, file in enumerate(files):
        bounds = zip(values, (limit, *[math.inf] * len(values)), strict=False)
        wrong = [value for value, most in bounds if numbers[value][row] is None or not abs(numbers[value][row]) <= most]
        if file is None:
            odd.append(f"no image {cells['file'][row]}")
        elif wrong:
            odd.append(f'{file.name} with {wrong[0]} "{cells[wrong[0]][row]}"')
        elif identity(file) in seen:  # one of the two might be trained on, the other tested
            odd.append(f"{file.name} once more")
        else:
            seen.add(identity(file))
            kept.append(row)
    more = "".join(f", or no {value} that is a number" for value in values[1:])
    what = f"frames have no image of their own or no {values[0]} in {-limit:g}..{limit:g}{more}"
    faults.refuse(path, odd, len(files), what, skip_bad)
    files, splits = [files[row] for row in kept], splits[kept]
    labels = _labels({value: [column[row] for row in kept] for value, column in numbers.items()}, limit)
    stamps = [number_in(cells["time"][row]) for row in kept] if "time" in cells else [None]
    times = _times(files) if None in stamps else (np.array(stamps) - stamps[0]) / 1000
    order, groups = np.argsort(times, kind="stable"), np.empty(len(files), np.int64)
    groups[order] = _enough_blocks(path, times[order], splits[order])
    return assemble_blocks(Rows(path, (), files, labels, groups, splits, layout), seed)


def with_side_cameras(
    listing: Listing, path: str | Path, columns: Mapping[str, str] | None, correction: float, skip_bad: bool = False
) -> Listing:
    """Returns a listing whose train has the left and right images of its moments too; val and test stay as they are.

    Their steering is that of the moment, plus the correction at the left and minus it at the right, within -1..1; all
    other values and the group are the moment's. Attributes of train say which camera took an image (CAMERA).

    Args:
        listing: The listing, as `list_log` returns it of the same log, with steering.
        path: The log, or its folder.
        columns: The columns that cannot be guessed, as {"left": "cam_1"}.
        correction: The correction, a share of full lock.
        skip_bad: Whether moments without both images are left as they are.

    Raises:
        BadInput: There are no such columns, or images are missing (counted, ten named).
    """
    table, train = _table(Path(path)), listing["train"]
    kinds = {"file": COLUMNS["file"], **SIDES}
    asked = {kind: name for kind, name in (columns or {}).items() if kind in kinds}
    found = find_columns(table.path, table.header, asked, kinds, tuple(kinds))
    files = {kind: find_beside(table.path, table.column(place)) for kind, place in found.items()}
    rows = {identity(file): row for row, file in enumerate(files["file"]) if file}
    places = [rows[identity(file)] for file in train.files]
    odd = [f"{side} {table.rows[row][found[side]]}" for row in places for side in SIDES if files[side][row] is None]
    faults.refuse(table.path, odd, 2 * len(places), "images of the side cameras are missing", skip_bad)
    parts = [(train.files, train.labels, train.groups)]
    for side, change in (("left", correction), ("right", -correction)):
        here = [index for index, row in enumerate(places) if files[side][row]]
        labels = train.labels[here]
        steering = labels if labels.dtype.names is None else labels["steering"]
        steering[:] = np.clip(steering + change, -1, 1)
        parts.append((tuple(files[side][places[index]] for index in here), labels, train.groups[here]))
    cameras = np.repeat(["centre", *SIDES], [len(taken) for taken, _, _ in parts])
    taken, labels, groups = zip(*parts, strict=True)
    more = Split(sum(taken, Paths()), np.concatenate(labels), np.concatenate(groups), attributes={CAMERA: cameras})
    refuse_repeated_files(table.path, splits := {**listing.splits, "train": more})
    return dataclasses.replace(listing, splits=splits)


def _table(path: Path) -> Table:
    path = unwrapped(path)
    return read_tub(path) if is_tub(path) else read_table(_log(path), unnamed=CLASSIC)


def _of_the_centre(table: Table, place: int) -> Table:
    """Returns the rows of the camera in the centre, where a column says which of several took a frame, with a note.

    Udacity's second challenge has a row for each of its three (center_camera), with the steering of the centre's.
    """
    cameras = [set(re.findall("[a-z]+", cell.lower())) for cell in table.column(place)]
    centre = [row for row, words in enumerate(cameras) if words & {"center", "centre", "front", "middle"}]
    if 0 < len(centre) < len(cameras) and any(words & set(SIDES) for words in cameras):
        said = f"rows are of other cameras than the centre's (column {table.header[place]}), and left out."
        faults.note(table.path, f"{len(cameras) - len(centre):,} of {len(cameras):,} {said}")
        return table.at(centre)
    return table


def _labels(numbers: Mapping[str, Sequence[float]], limit: float) -> np.ndarray:
    """Returns float32 [n, 1] of the only value over its limit; of several a structured array [n], the first over it."""
    labels = np.empty(len(next(iter(numbers.values()))), [(value, np.float32, (1,)) for value in numbers])
    for value, bound in zip(numbers, (limit, *[1.0] * len(numbers)), strict=False):
        labels[value] = np.array(numbers[value], np.float64)[:, None] / bound
    return labels if len(numbers) > 1 else labels[next(iter(numbers))]


def _log(path: Path) -> Path:
    """Returns the log itself: in a folder driving_log.csv, or the only CSV file where nothing else is read there."""
    if not path.is_dir():
        return path
    tables = found_files.tables(path)
    if path / "driving_log.csv" in tables:
        return path / "driving_log.csv"
    reason = elsewhere(path, DRIVING) or below(path, DRIVING)
    if reason or len(tables) != 1:
        advice = reason or f"Name the log itself, with --data={path / 'NAME.csv'}."
        raise BadInput(f"{path} holds no driving_log.csv. {advice}")
    return tables[0]


def _enough_blocks(path: Path, seconds: np.ndarray, splits: np.ndarray) -> np.ndarray:
    """Returns `time_blocks`, of shorter ones where a split is to be drawn out of fewer than FEWEST; that is noted."""
    blocks, free = time_blocks(seconds, splits), np.isin(splits, ("", "train"))
    if {*SPLITS} <= set(splits.tolist()) or len(np.unique(blocks[free])) >= FEWEST:
        return blocks
    length = np.ptp(seconds[free]) / FEWEST if free.any() else BLOCK_SECONDS
    said = (
        f"splits are drawn in blocks of {length:.2g} s, for the recording is short: neighbouring ones are alike, and "
    )
    faults.note(path, f"{said}scores look better than on another drive.")
    return time_blocks(seconds, splits, max(length, 1e-9))


def time_blocks(seconds: np.ndarray, splits: np.ndarray, length: float = BLOCK_SECONDS) -> np.ndarray:
    """Returns the block of each frame, int64 [n] from 0; blocks are equal times of about 5 s.

    A pause of a second, a step back in time and another split begin a block too.

    Args:
        seconds: The frames' times in their order, float [n].
        splits: The frames' split names [n].
        length: The length of a block in seconds.
    """
    steps = np.diff(seconds)
    cuts = np.flatnonzero((steps < 0) | (steps > _PAUSE) | (splits[1:] != splits[:-1])) + 1
    groups, count = np.empty(len(seconds), np.int64), 0
    for part in np.split(np.arange(len(seconds)), cuts):
        passed = seconds[part] - seconds[part[0]]
        pieces = max(1, round(passed[-1] / length))
        groups[part] = count + np.minimum(passed * pieces // max(passed[-1], 1e-9), pieces - 1)
        count = groups[part[-1]] + 1
    return groups


def _times(files: list[Path]) -> np.ndarray:
    """Returns the frames' times in seconds, float64 [n], from the names of all images, or counted at HERTZ."""
    found = [_TIME.search(file.name) for file in files]
    try:
        times = [datetime.datetime.strptime(match[0], "%Y_%m_%d_%H_%M_%S_%f") for match in found]
    except (TypeError, ValueError):  # a name without a time, or with the 31st of February
        return np.arange(len(files)) / HERTZ
    return np.array([(time - times[0]).total_seconds() for time in times])
