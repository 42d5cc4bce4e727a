"""Imports TensorFlow and its Keras 2, and is the one place that does, so that the order of imports is right everywhere.

The package, imported before it, has chosen Keras 2. Lines of theirs that are known to be harmless here are hidden, each
by its own words.
"""

import contextlib
import logging
import sys
import warnings

from tfmo_drive.base import native_lines

with contextlib.nullcontext() if "tensorflow" in sys.modules else native_lines.hidden():
    import tensorflow as tf
    import tf_keras as keras

    if not native_lines.gpu_is_there():
        tf.config.list_physical_devices("GPU")  # TensorFlow looks for one once, and says that it failed

__all__ = ["keras", "tf"]

# tfmot 0.8 looks there for a class of an early Keras 2 and does without it. Keras 3 has no such modules, but the search
# imports all of it, and Matplotlib: a fifth of what every start takes.
for _relic in ("keras.engine", "keras.src.engine"):
    sys.modules.setdefault(_relic, None)

_HARMLESS = (
    "Compiled the loaded model, but the compiled metrics have yet to be built",  # scores are computed by the tasks
    "Callback method `on_train_batch_",  # of an epoch's first batch, whose time is that of tracing
    "may run slowly because",  # a file of half precision, which is read as float32
    "triggered tf.function retracing",  # every model is traced once, and there are many
)


def _worth_reading(record: logging.LogRecord) -> bool:
    return not any(words in str(record.msg) for words in _HARMLESS)


for _name in ("absl", "tensorflow"):
    logging.getLogger(_name).addFilter(_worth_reading)
# A stage is read back by Keras 2 itself, whose files are what a user's tools open.
warnings.filterwarnings("ignore", "You are saving your model as an HDF5 file", UserWarning)
