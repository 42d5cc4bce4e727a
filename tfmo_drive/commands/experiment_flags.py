"""Flags that say which experiment a command is about, on which data, and where it goes."""

from __future__ import annotations

import importlib
import importlib.util
import traceback
from pathlib import Path

from absl import flags

from tfmo_drive.base.given_file import reason
from tfmo_drive.base.spelling import suggestion
from tfmo_drive.contracts import BadInput

FLAGS = flags.FLAGS
flags.DEFINE_string("experiment", None, "Name of a file in experiments/ (pruned_quantized), or the path of one.")
flags.DEFINE_multi_string("set", [], "Change a setting: recipe.0.sparsity=0.7, task.image_size=96, training.epochs=3.")
flags.DEFINE_string("data", None, "A folder of classes, a CSV file, or the folder of one. Default: built-in scenes.")
flags.DEFINE_string("weights", None, "A trained float baseline (Keras 2 .h5 or SavedModel), not trained again.")
flags.DEFINE_bool("allow_code", False, "Let code inside the files of given models run (a Lambda layer of --weights).")
flags.DEFINE_string("workdir", None, "Where everything goes. Default: runs/<experiment>.")
flags.DEFINE_integer(
    "seed", 0, "Seed of order, augmentation, calibration and initial weights.", lower_bound=0, upper_bound=2**32 - 1
)
flags.DEFINE_bool("deterministic", False, "Bit-equal results from equal seeds (1.2-1.35 times slower).")

EXPERIMENTS = "experiments"


def chosen() -> tuple:
    """What the flags say: (name, Experiment with all settings changed, run folder); BadInput where they are wrong."""
    if not FLAGS.experiment:
        raise BadInput("Say which experiment: --experiment=pruned_quantized (a file in experiments/).")
    from tfmo_drive.base.overrides import override

    name = Path(FLAGS.experiment).stem
    found = override(experiment(FLAGS.experiment), assignments())
    return name, found, Path(FLAGS.workdir or f"runs/{name}").expanduser()


def experiment(name: str):
    """The EXPERIMENT of experiments/<name>.py or of a file's path; BadInput with what there is otherwise."""
    path = Path(name) if name.endswith(".py") else Path(EXPERIMENTS) / f"{name}.py"
    if not path.is_file():
        names = [file.stem for file in files()]
        raise BadInput(f"No experiment {name!r} ({path}). {suggestion(name, names)}")
    spec = importlib.util.spec_from_file_location(f"experiments.{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BadInput:
        raise
    except Exception as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        line = lines[-1] if lines else getattr(error, "lineno", None) or 1
        raise BadInput(f"{path}, line {line}: {type(error).__name__}: {reason(error)}.") from error
    if not hasattr(module, "EXPERIMENT"):
        raise BadInput(f"{path} defines no EXPERIMENT = Experiment(...).")
    return module.EXPERIMENT


def files() -> list[Path]:
    """Return the files of the experiments there are, in the order of their names."""
    return sorted(file for file in Path(EXPERIMENTS).glob("*.py") if file.stem != "__init__")


def assignments() -> list[str]:
    """--data, --weights and --allow_code are short for settings of the task; --set comes last and wins."""
    short = [f"task.data={FLAGS.data}"] if FLAGS.data else []
    short += [f"task.baseline={FLAGS.weights}"] if FLAGS.weights else []
    short += ["task.allow_code=true"] if FLAGS.allow_code else []
    return short + FLAGS.set
