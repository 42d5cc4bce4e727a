"""Peak memory of training against the size of the data set: ten times the images, in a process of its own each."""

from __future__ import annotations

import subprocess
import sys

IMAGES = 2000
SCRIPT = """
import resource, sys, tempfile
from pathlib import Path
from tfmo_drive.compress.train import Train
from tfmo_drive.contracts import Context
from tfmo_drive.core.networks import SmallCNN
from tfmo_drive.tasks.classification import Classification, Scenes

task = Classification(network=SmallCNN(), scenes=Scenes(train=int(sys.argv[1]), val=64, test=64))
with tempfile.TemporaryDirectory() as workdir:
    model = task.build()
    Train(epochs=1)(model, Context(task, model, (), Path(workdir), 0))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def _peak_bytes(images: int) -> int:
    done = subprocess.run([sys.executable, "-c", SCRIPT, str(images)], capture_output=True, text=True, check=True)
    return int(done.stdout.split()[-1])


def training_memory() -> dict:
    """Peak resident bytes with 20,000 images over those with 2,000 (drawn and packed in an earlier process)."""
    for images in (IMAGES, 10 * IMAGES):
        _peak_bytes(images)
    pairs = [(_peak_bytes(10 * IMAGES), _peak_bytes(IMAGES)) for _ in range(2)]
    ratios = [large / small for large, small in pairs]
    return {
        "ratio": sum(ratios) / len(ratios),
        "ours_s": None,
        "reference_s": None,
        "spread": (max(ratios) - min(ratios)) / min(ratios),
        "bar": 1.2,
        "ours_bytes": pairs[0][0],
        "reference_bytes": pairs[0][1],
        "images": [10 * IMAGES, IMAGES],
    }
