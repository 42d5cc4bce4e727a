"""Peak memory, in processes of their own: of training on many more examples, and of the surgery on a large network."""

from __future__ import annotations

import subprocess
import sys

IMAGES, ROWS = 2000, 20_000
IMAGE_TASK = """
from tfmo_drive.networks.backbones import SmallCNN
from tfmo_drive.tasks.classification import Classification, Scenes

task, batch_size = Classification(network=SmallCNN(), scenes=Scenes(train=count, val=64, test=64)), 64
"""
ROW_TASK = """
from tfmo_drive.tasks.sensor_rows.sensor_series import Series
from tfmo_drive.tasks.sensor_rows.sensor_rows import SensorRows

task, batch_size = SensorRows(series=Series(train=count, val=64, test=64)), 1024
"""
SCRIPT = """
import sys, tempfile
from pathlib import Path
from tfmo_drive.steps.train import Train
from tfmo_drive.contracts import Context

count = int(sys.argv[1])
{task}
with tempfile.TemporaryDirectory() as workdir:
    model = task.build()
    Train(epochs=1, batch_size=batch_size)(model, Context(task, model, (), Path(workdir), 0))
{peak}
"""
CHANNELS = """
import time
from pathlib import Path
from tfmo_drive.steps.channel_pruning import ChannelPruning
from tfmo_drive.contracts import Context
from tfmo_drive.networks.backbones import ResNet
from tfmo_drive.networks.networks import build

model = build(ResNet(), 224, 1000)
started = time.perf_counter()
ChannelPruning(pruning_ratio=0.5).structure(model, Context(None, model, (), Path("."), 0))
print(time.perf_counter() - started)
{peak}
"""
# Not ru_maxrss, which a process inherits from the one that starts it.
PEAK = """print(int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024)"""
SECONDS, BYTES = 20.0, 2e9


def _peak_bytes(task: str, count: int) -> int:
    return int(_printed(SCRIPT.format(task=task, peak=PEAK), str(count))[-1])


def _printed(script: str, *arguments: str) -> list[str]:
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


def _growth(task: str, few: int, many: int) -> dict:
    """Peak resident bytes with `many` examples over those with `few` (drawn and packed in an earlier process)."""
    for count in (few, many):
        _peak_bytes(task, count)
    pairs = [(_peak_bytes(task, many), _peak_bytes(task, few)) for _ in range(2)]
    ratios = [large / small for large, small in pairs]
    worst = pairs[ratios.index(max(ratios))]
    return {
        "ratio": max(ratios),
        "ours_s": None,
        "reference_s": None,
        "spread": (max(ratios) - min(ratios)) / min(ratios),
        "bar": 1.2,
        "ours_bytes": worst[0],
        "reference_bytes": worst[1],
        "examples": [many, few],
    }


def training_memory() -> dict:
    """20,000 images against 2,000."""
    return _growth(IMAGE_TASK, IMAGES, 10 * IMAGES)


def rows_memory() -> dict:
    """2,000,000 rows of 100 columns (808 MB packed) against 20,000."""
    return _growth(ROW_TASK, ROWS, 100 * ROWS)


def channels_at_224() -> dict:
    """Half the channels of a ResNet50 at 224 x 224 found, removed and copied: seconds of the 20, and peak of the 2 GB,
    that it may take, whichever is more."""
    runs = [[float(one) for one in _printed(CHANNELS.format(peak=PEAK))[-2:]] for _ in range(3)]
    ratios = [max(seconds / SECONDS, peak / BYTES) for seconds, peak in runs]
    middle = ratios.index(sorted(ratios)[1])
    return {
        "ratio": ratios[middle],
        "ours_s": runs[middle][0],
        "reference_s": SECONDS,
        "spread": (max(ratios) - min(ratios)) / min(ratios),
        "bar": 1.0,
        "ours_peak_bytes": runs[middle][1],
    }
