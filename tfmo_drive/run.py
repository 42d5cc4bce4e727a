"""Run an experiment: train or read the baseline, compress it, convert it, measure it, write the report.

    python -m tfmo_drive.run --experiment=pruned_quantized --data=path/to/images --weights=baseline.h5
    python -m tfmo_drive.run --experiment=pruned --set=recipe.0.sparsity=0.7 --set=recipe.0.epochs=2 --plan

Without --data it uses the built-in driving scenes; without --weights it trains the baseline first. Everything goes into
--workdir; started again with the same settings, finished stages are reused and an interrupted one continues. Exit code
1: bad input (one line says what to do), a broken promise, or a missed expectation.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
from pathlib import Path

from absl import app, flags, logging

from tfmo_drive.contracts import BadInput
from tfmo_drive.core.command_line import guarded
from tfmo_drive.core.spelling import suggestion

FLAGS = flags.FLAGS
flags.DEFINE_string("experiment", None, "Name of a file in experiments/ (pruned_quantized), or the path of one.")
flags.DEFINE_multi_string("set", [], "Change a setting: recipe.0.sparsity=0.7, task.image_size=96, training.epochs=3.")
flags.DEFINE_string("data", None, "A folder of classes, a CSV file, or the folder of one. Default: built-in scenes.")
flags.DEFINE_string("weights", None, "A trained float baseline (Keras 2 .h5 or SavedModel), not trained again.")
flags.DEFINE_list("controls", None, "Only these controls (none: no control). Default: all.")
flags.DEFINE_string("workdir", None, "Where everything goes. Default: runs/<experiment>.")
flags.DEFINE_integer("seed", 0, "Seed of order, augmentation, calibration and initial weights.", lower_bound=0)
flags.DEFINE_bool("deterministic", False, "Bit-equal results from equal seeds (1.2-1.35 times slower).")
flags.DEFINE_bool("plan", False, "Print every setting and stop.")
flags.DEFINE_bool("export", False, "Make the stages (or reuse them) and write the artifacts; measure nothing.")

EXPERIMENTS = "experiments"


def experiment(name: str):
    """The EXPERIMENT of experiments/<name>.py or of a file's path; BadInput with what there is otherwise."""
    path = Path(name) if name.endswith(".py") else Path(EXPERIMENTS) / f"{name}.py"
    if not path.is_file():
        names = sorted(file.stem for file in Path(EXPERIMENTS).glob("*.py") if file.stem != "__init__")
        raise BadInput(f"No experiment {name!r} ({path}). {suggestion(name, names)}")
    spec = importlib.util.spec_from_file_location(f"experiments.{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not hasattr(module, "EXPERIMENT"):
        raise BadInput(f"{path} defines no EXPERIMENT = Experiment(...).")
    return module.EXPERIMENT


def assignments() -> list[str]:
    """--data and --weights are short for settings of the task; --set comes last and wins."""
    short = [f"task.data={FLAGS.data}"] if FLAGS.data else []
    short += [f"task.baseline={FLAGS.weights}"] if FLAGS.weights else []
    return short + FLAGS.set


def with_controls(whole, names: list[str] | None):
    """The experiment with the named controls alone (["none"]: without any; None: all); BadInput for a wrong name."""
    if names is None:
        return whole
    names = [] if names == ["none"] else names
    for name in names:
        if name not in whole.controls:
            raise BadInput(f"--controls: no control {name!r}. {suggestion(name, whole.controls)}")
    return dataclasses.replace(whole, controls={name: whole.controls[name] for name in names})


def main(argv: list[str]) -> int:
    if len(argv) > 1:
        raise BadInput(f"Unexpected {argv[1]!r}. Settings are given as --set=name=value; see --help.")
    if not FLAGS.experiment:
        raise BadInput("Say which experiment: --experiment=pruned_quantized (a file in experiments/).")
    from tfmo_drive.core.overrides import describe, override
    from tfmo_drive.experiment import Run
    from tfmo_drive.report.markdown import terminal

    chosen = with_controls(override(experiment(FLAGS.experiment), assignments()), FLAGS.controls)
    name = Path(FLAGS.experiment).stem
    workdir = Path(FLAGS.workdir or f"runs/{name}")
    if FLAGS.plan:
        print(describe(chosen))
        return 0
    logging.set_verbosity(logging.INFO)
    run = Run(name=name, experiment=chosen, workdir=workdir, seed=FLAGS.seed, deterministic=FLAGS.deterministic)
    if FLAGS.export:
        print("\n".join(str(path) for path in run.export()))
        return 0
    report = run.report()
    print(terminal(report))
    print(f"\n{workdir / 'report.html'}")
    return 0 if all(entry["passed"] for entry in report["expect"]) else 1


if __name__ == "__main__":
    app.run(guarded(main))
