"""Compress Keras ResNet50 driving-perception models for embedded boards, and prove what it cost.

tfmot 0.8 works on Keras 2 only, so this package selects it (the `tf_keras` distribution) before TensorFlow is imported.
"""

import os
import signal
import sys

__version__ = "0.1.0"
STOPPED = "stopped; the same command continues from the last finished epoch."
"""What a command line says at its end on Ctrl-C (commands.command_line)."""


def _stop_at_once(*_) -> None:
    os.write(2, f"{STOPPED}\n".encode())
    os._exit(130)


_module = next((two for one, two in zip(sys.orig_argv, sys.orig_argv[1:], strict=False) if one == "-m"), "")
if sys.argv[0] == "-m" and _module == "tfmo_drive" or os.path.basename(sys.argv[0]) == "tfmo-drive":
    # While modules are imported, until the command line takes over; what ignores interrupts (nohup) goes on doing so.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _stop_at_once)

if "tensorflow" in sys.modules and os.environ.get("TF_USE_LEGACY_KERAS") != "1":
    raise ImportError(
        "TensorFlow was imported before tfmo_drive, so it already uses Keras 3, which tfmot cannot work on. "
        "Import tfmo_drive first, or set TF_USE_LEGACY_KERAS=1 in the environment."
    )
os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# TensorFlow switches oneDNN on by itself only where the processor has AVX512-VNNI; on others (AMD Zen 3) a ResNet50
# training step takes 3.3 times as long without it.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
