"""Peak memory of training against the size of the data set: many more examples, in a process of its own each."""

from __future__ import annotations

import subprocess
import sys

IMAGES, ROWS = 2000, 20_000
IMAGE_TASK = """
from tfmo_drive.core.networks import SmallCNN
from tfmo_drive.tasks.classification import Classification, Scenes

task, batch_size = Classification(network=SmallCNN(), scenes=Scenes(train=count, val=64, test=64)), 64
"""
ROW_TASK = """
from tfmo_drive.core.sensor_series import Series
from tfmo_drive.tasks.sensor_rows import SensorRows

task, batch_size = SensorRows(series=Series(train=count, val=64, test=64)), 1024
"""
SCRIPT = """
import sys, tempfile
from pathlib import Path
from tfmo_drive.compress.train import Train
from tfmo_drive.contracts import Context

count = int(sys.argv[1])
{task}
with tempfile.TemporaryDirectory() as workdir:
    model = task.build()
    Train(epochs=1, batch_size=batch_size)(model, Context(task, model, (), Path(workdir), 0))
# Not ru_maxrss, which a process inherits from the one that starts it.
print(int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024)
"""


def _peak_bytes(task: str, count: int) -> int:
    command = [sys.executable, "-c", SCRIPT.format(task=task), str(count)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1])


def _growth(task: str, few: int, many: int) -> dict:
    """Peak resident bytes with `many` examples over those with `few` (drawn and packed in an earlier process)."""
    for count in (few, many):
        _peak_bytes(task, count)
    pairs = [(_peak_bytes(task, many), _peak_bytes(task, few)) for _ in range(2)]
    ratios = [large / small for large, small in pairs]
    return {
        "ratio": sum(ratios) / len(ratios),
        "ours_s": None,
        "reference_s": None,
        "spread": (max(ratios) - min(ratios)) / min(ratios),
        "bar": 1.2,
        "ours_bytes": pairs[0][0],
        "reference_bytes": pairs[0][1],
        "examples": [many, few],
    }


def training_memory() -> dict:
    """20,000 images against 2,000."""
    return _growth(IMAGE_TASK, IMAGES, 10 * IMAGES)


def rows_memory() -> dict:
    """2,000,000 rows of 100 columns (808 MB packed) against 20,000."""
    return _growth(ROW_TASK, ROWS, 100 * ROWS)
