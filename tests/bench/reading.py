"""Reading data as it lies: how long a million listed images take, and whether packing keeps all cores busy."""

from __future__ import annotations

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
import sys, time
from pathlib import Path
from tfmo_drive.data.layouts.boxes.box_listing import list_boxes
from tfmo_drive.data.layouts.listing import list_source

started = time.perf_counter()
{reader}(Path(sys.argv[1]))
print(time.perf_counter() - started)
{peak}
"""


def classes_listing() -> dict:
    """A tenth of a million images in 100 folders of classes, of which val and test are drawn."""
    return _listed("list_source", lambda number: f"class_{number // 1000:03}/{number % 1000:05}.jpg", {})


def boxes_listing() -> dict:
    """The same in YOLO's layout, a label file each; sizes are read from headers."""
    texts = {"data.yaml": "train: images/train\nval: images/val\nnames: [car, truck]\n"}
    split = ("train", "val")
    return _listed("list_boxes", lambda number: f"images/{split[number % 10 == 0]}/{number:06}.jpg", texts, "labels")


def _listed(reader: str, name_of, texts: dict[str, str], labels: str = "") -> dict:
    """The entry of a listing: seconds for a million, extrapolated from LISTED, over SECONDS, or bytes over BYTES."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        Image.new("RGB", (64, 48)).save(root / "one.jpg")
        content = (root / "one.jpg").read_bytes()
        (root / "one.jpg").unlink()
        for number in range(LISTED):
            file = root / name_of(number)
            if number < 1000 or number % 1000 == 0:
                file.parent.mkdir(parents=True, exist_ok=True)
                if labels:
                    Path(str(file.parent).replace("images", labels)).mkdir(parents=True, exist_ok=True)
            file.write_bytes(content + number.to_bytes(4) * (1 + number % 97))  # files differ in length and content
            if labels:
                Path(str(file).replace("images", labels)).with_suffix(".txt").write_text("0 0.5 0.5 0.2 0.2\n")
        for name, text in texts.items():
            (root / name).write_text(text)
        script = SCRIPT.format(reader=reader, peak=PEAK)
        said = subprocess.run([sys.executable, "-c", script, folder], capture_output=True, text=True, check=True)
    seconds, peak = (float(word) * MILLION / LISTED for word in said.stdout.split()[-2:])
    return {
        "ratio": max(seconds / SECONDS, peak / BYTES), "ours_s": seconds, "reference_s": SECONDS, "spread": 0.0,
        "bar": 1.0, "ours_bytes": peak, "listed": LISTED, "extrapolated_to": MILLION,
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
