"""Compress Keras ResNet50 driving-perception models for embedded boards, and prove what it cost.

    import tfmo_drive as td

    data = td.arrays(train=(x, y), val=(xv, yv), test=(xt, yt))
    result = td.compress(model, [td.Prune(sparsity=0.7), td.QuantizeAware(preserve="sparsity")], data)

Everything public is here (`dir(tfmo_drive)`), and its module is imported when it is first used, TensorFlow with it.
tfmot 0.8 works on Keras 2 only, so this package selects it (the `tf_keras` distribution): import it before TensorFlow,
or at least before the first use of `tf.keras`, which is then Keras 2 too.
"""

import ast
import importlib
import os
import signal
import sys
from pathlib import Path

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

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# TensorFlow switches oneDNN on by itself only where the processor has AVX512-VNNI; on others (AMD Zen 3) a ResNet50
# training step takes 3.3 times as long without it.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

_table = ast.parse(Path(__file__).with_suffix(".pyi").read_text(encoding="utf-8")).body
_MODULES = {alias.name: node.module for node in _table if isinstance(node, ast.ImportFrom) for alias in node.names}
"""Every public name and the module that has it, as type checkers read it too (__init__.pyi)."""
__all__ = sorted(_MODULES)


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name, obj=sys.modules[__name__])
    globals()[name] = value = getattr(importlib.import_module(_MODULES[name]), name)
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
