"""Reading data as it lies: how long a million listed images take, and whether packing keeps all cores busy."""

from __future__ import annotations

import io
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from tests.bench.interleaving import ratio, turns
from tests.bench.memory import PEAK
from tfmo_drive.data.image_cache import pack
from tfmo_drive.data.splitting import Split

LISTED, MILLION = 100_000, 1_000_000
SECONDS, BYTES = 60.0, 2e9
PACKED, SIZE, SHAPE = 400, (640, 480), (96, 128)
SCRIPT = """
import os, sys, time
from pathlib import Path
from tfmo_drive.data.layouts.boxes.box_listing import list_boxes
from tfmo_drive.data.layouts.listing import list_source
from tfmo_drive.data.layouts.masks.mask_listing import list_masks

{peak}
started, before = time.perf_counter(), os.times()
listing = {reader}(Path(sys.argv[1]))
after = os.times()
print(time.perf_counter() - started, after.user + after.system - before.user - before.system)
{peak}
"""


def classes_listing() -> dict:
    """A tenth of a million images in 100 folders of classes, of which val and test are drawn."""
    return _listed("list_source", lambda number: f"class_{number // 1000:03}/{number % 1000:05}.jpg", {})


def boxes_listing() -> dict:
    """The same in YOLO's layout, a label file of five boxes each; sizes are read from headers."""
    texts = {"data.yaml": "train: images/train\nval: images/val\nnames: [car, truck]\n"}
    lines = "".join(f"{number % 2} 0.{number + 2}12345 0.512345 0.1{number} 0.2{number}\n" for number in range(5))
    return _listed("list_boxes", _in_splits, texts, ("labels", ".txt", lines.encode()))


def masks_listing() -> dict:
    """The same with a mask each, in folders of images and of masks."""
    mask = io.BytesIO()
    Image.new("L", (64, 48)).save(mask, "PNG")
    return _listed("list_masks", _in_splits, {"classes.txt": "road\ncar\nsky\n"}, ("masks", ".png", mask.getvalue()))


def _in_splits(number: int) -> str:
    return f"images/{('train', 'val')[number % 10 == 0]}/{number:06}.jpg"


def _listed(reader: str, name_of, texts: dict[str, str], truths: tuple[str, str, bytes] | None = None) -> dict:
    """The entry of a listing: seconds of processors for a million, extrapolated from LISTED, over SECONDS, or its peak
    memory, which is what Python and the package take and ten times what the listing adds, over BYTES.

    `truths` is the folder that stands for images/, the suffix and the content of what tells the truth of each image."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        Image.new("RGB", (64, 48)).save(root / "one.jpg")
        content = (root / "one.jpg").read_bytes()
        (root / "one.jpg").unlink()
        for number in range(LISTED):
            file = root / name_of(number)
            if number < 1000 or number % 1000 == 0:
                file.parent.mkdir(parents=True, exist_ok=True)
                if truths:
                    Path(str(file.parent).replace("images", truths[0])).mkdir(parents=True, exist_ok=True)
            file.write_bytes(content + number.to_bytes(4) * (1 + number % 97))  # files differ in length and content
            if truths:
                Path(str(file).replace("images", truths[0])).with_suffix(truths[1]).write_bytes(truths[2])
        for name, text in texts.items():
            (root / name).write_text(text)
        script = SCRIPT.format(reader=reader, peak=PEAK)
        said = subprocess.run([sys.executable, "-c", script, folder], capture_output=True, text=True, check=True)
    base, waited, seconds, peak = (float(word) for word in said.stdout.split()[-4:])
    waited, seconds = waited * MILLION / LISTED, seconds * MILLION / LISTED
    peak = base + (peak - base) * MILLION / LISTED
    return {
        "ratio": max(seconds / SECONDS, peak / BYTES), "ours_s": seconds, "wall_s": waited, "reference_s": SECONDS,
        "spread": 0.0, "bar": 1.0, "ours_bytes": peak, "listed": LISTED, "extrapolated_to": MILLION,
    }  # fmt: skip


def packing(rounds: int = 5) -> dict:
    """Decoding into the cache, against Pillow alone on all cores: photographs of 640 x 480 at 128 x 96."""
    with tempfile.TemporaryDirectory() as folder:
        small = np.random.default_rng(0).integers(0, 256, (PACKED, 12, 16, 3), np.uint8)
        files = tuple(Path(folder) / f"{number}.jpg" for number in range(PACKED))
        for file, pixels in zip(files, small, strict=True):
            Image.fromarray(pixels).resize(SIZE, Image.Resampling.BICUBIC).save(file, quality=90)
        split, made = Split(files, np.zeros(PACKED, np.int64), np.arange(PACKED)), iter(range(1000))

        def alone(file: Path) -> np.ndarray:
            with Image.open(file) as image:
                return np.asarray(image.convert("RGB").resize(SHAPE[::-1], Image.Resampling.BILINEAR))

        def pillow() -> None:
            with ThreadPoolExecutor() as threads:
                list(threads.map(alone, files))

        runs = {"ours": lambda: pack(split, SHAPE, folder=Path(folder) / f"cache{next(made)}"), "reference": pillow}
        return ratio(turns(runs, rounds), 1.25, PACKED)
