"""Defines the flags that say which experiment a command is about, on which data, and where it goes."""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from absl import flags, logging

import tfmo_drive
from tfmo_drive.base.python_file import read
from tfmo_drive.base.spelling import suggestion
from tfmo_drive.contracts import BadInput

if TYPE_CHECKING:
    from tfmo_drive.experiment import Experiment
    from tfmo_drive.flow.flow import Run

FLAGS = flags.FLAGS
flags.DEFINE_string("experiment", None, "A name that `tfmo-drive list` prints (pruned_quantized), or a path.")
flags.DEFINE_multi_string(
    "set",
    [],
    "Change a setting: recipe.0.sparsity=0.7, task.image_size=96, training.epochs=3; recipe=FoldBatchNorm,Equalize, "
    "where recipe+= adds steps; of a given model, how its input was made: task.preprocessing_name=bgr/255 (caffe, tf, "
    "torch, unit, rgb/127.5-1, grey/255).",
)
flags.DEFINE_string("data", None, "A folder of classes, a CSV file, or the folder of one. Default: built-in scenes.")
flags.DEFINE_string(
    "weights", None, "A trained baseline (.keras or .h5 of Keras 2 or 3, SavedModel, or .tflite), not trained again."
)
flags.DEFINE_bool("allow_code", False, "Let code inside the files of given models run (a Lambda layer of --weights).")
flags.DEFINE_string("workdir", None, "Where everything goes. Default: runs/<experiment>.")
flags.DEFINE_integer(
    "seed", 0, "Seed of order, augmentation, calibration and initial weights.", lower_bound=0, upper_bound=2**32 - 1
)
flags.DEFINE_bool("deterministic", False, "Bit-equal results from equal seeds (1.2-1.35 times slower).")

PACKAGE = "tfmo_drive.experiments"
"""The package of the experiments that this program brings."""


def run(argv: list[str]) -> Run:
    """Returns the run that the flags choose, with all its controls; from now on its progress is on the terminal.

    Raises BadInput as `chosen` does.
    """
    from tfmo_drive.flow.flow import Run

    name, found, workdir = chosen(argv)
    logging.set_verbosity(logging.INFO)
    return Run(name=name, experiment=found, workdir=workdir, seed=FLAGS.seed, deterministic=FLAGS.deterministic)


def chosen(argv: list[str]) -> tuple:
    """Returns (name, Experiment with all settings changed, run folder) as the flags choose.

    Raises BadInput where the flags are wrong, or where `argv` holds more than the verb.
    """
    if len(argv) > 1:
        raise BadInput(f"Unexpected {argv[1]!r}. Settings are given as --set=name=value; see --help.")
    if not FLAGS.experiment:
        raise BadInput("Say which experiment: --experiment=pruned_quantized; `tfmo-drive list experiments` prints all.")
    from tfmo_drive.base.overrides import override

    _know_all_parts(FLAGS.set)
    name = Path(FLAGS.experiment).stem
    found = override(experiment(FLAGS.experiment), assignments())
    return name, found, Path(FLAGS.workdir or f"runs/{name}")


def _know_all_parts(settings: list[str]) -> None:
    """Imports every public class where a setting names one: `recipe=Prune,QuantizeAware` finds what is imported."""
    if any(re.fullmatch(r"[A-Z]\w*(\s*,\s*[A-Z]\w*)*", setting.partition("=")[2].strip()) for setting in settings):
        for public in tfmo_drive.__all__:
            getattr(tfmo_drive, public)


def experiment(name: str) -> Experiment:
    """Returns the EXPERIMENT of that name, or of the file whose path is given, which may import modules beside it.

    Raises BadInput with what there is where no file is called so, and with the line where it cannot be read.
    """
    known = {file.stem: file for file in files()}
    path = Path(name) if name.endswith(".py") else known.get(name)
    if path is None or not path.is_file():
        raise BadInput(f"No experiment {name!r}. {suggestion(Path(name).stem, known)}")
    module = read(path)
    if not hasattr(module, "EXPERIMENT"):
        raise BadInput(f"{path} defines no EXPERIMENT = Experiment(...).")
    return module.EXPERIMENT


def files() -> list[Path]:
    """Returns the files of this program's experiments, in the order of their names."""
    folder = Path(_package().__file__).parent
    return sorted((file for file in folder.glob("*/*.py") if file.stem != "__init__"), key=lambda file: file.stem)


def _package() -> ModuleType:
    """Returns the package of the experiments.

    A wheel has it inside the package, a checkout beside it; what another installed checkout has is not ours.
    """
    own = Path(tfmo_drive.__file__).parent
    if PACKAGE not in sys.modules and not (own / "experiments").is_dir():
        path = own.parent / "experiments" / "__init__.py"
        spec = importlib.util.spec_from_file_location(PACKAGE, path, submodule_search_locations=[str(path.parent)])
        sys.modules[PACKAGE] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return importlib.import_module(PACKAGE)


def assignments() -> list[str]:
    """Returns the flags as assignments, those of --set last, so that they win.

    --data, --weights and --allow_code are short for settings.
    """
    short = [f"task.data={FLAGS.data}"] if FLAGS.data else []
    short += [f"task.baseline={FLAGS.weights}"] if FLAGS.weights else []
    short += ["task.allow_code=true"] if FLAGS.allow_code else []
    return short + FLAGS.set
