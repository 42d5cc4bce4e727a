"""Run an experiment: train or read the baseline, compress it, convert it, measure it, write the report.

    python -m tfmo_drive.run --experiment=pruned_quantized --data=path/to/images --weights=baseline.h5
    python -m tfmo_drive.run --experiment=pruned --set=recipe.0.sparsity=0.7 --set=recipe.0.epochs=2 --plan

Without --data it uses the built-in driving scenes; without --weights it trains the baseline first. Everything goes into
--workdir; started again with the same settings, finished stages are reused and an interrupted one continues. Exit code
1: bad input (one line says what to do), a broken promise, or a missed expectation; 3: an expected latency that could
not be measured because the machine is busy, and no other miss.
"""

from __future__ import annotations

import dataclasses

from absl import flags, logging

from tfmo_drive.base.spelling import suggestion
from tfmo_drive.commands import command_line, experiment_flags
from tfmo_drive.contracts import BadInput

FLAGS = flags.FLAGS
flags.adopt_module_key_flags(experiment_flags)
flags.DEFINE_list("controls", None, "Only these controls (none: no control). Default: all.")
flags.DEFINE_bool("plan", False, "Print every setting and stop.")
flags.DEFINE_bool("export", False, "Make the stages (or reuse them) and write the artifacts; measure nothing.")
flags.DEFINE_string("board", None, "With --export: the pack for a board, a file in tfmo_drive/boards (raspberry_pi_4).")


def with_controls(whole, names: list[str] | None):
    """The experiment with the named controls alone (["none"]: without any; None: all); BadInput for a wrong name."""
    if names is None:
        return whole
    names = [] if names == ["none"] else names
    for name in names:
        if name not in whole.controls:
            raise BadInput(f"--controls: no control {name!r}. {suggestion(name, whole.controls)}")
    return dataclasses.replace(whole, controls={name: whole.controls[name] for name in names})


def exported(run) -> str:
    """The paths of the run's artifacts, made or reused."""
    with run.chain() as made:
        return "\n".join(str(artifact.path) for artifact in made.artifacts)


def packed(run, name: str) -> str:
    """Write the pack of the run's model for a board; says where it is and whether the model fits."""
    from tfmo_drive.boards.board import named
    from tfmo_drive.expect import Expect
    from tfmo_drive.pack.write_pack import write

    board = named(name)
    there = dataclasses.replace(run.experiment, targets=(board.target,), expect=Expect())
    one = dataclasses.replace(run, experiment=there)
    with one.chain() as made:
        if not made.artifacts:
            raise BadInput(f"{board.title} does not take this model; the line above says why.")
        pack = write(made.artifacts[0], board, name, made.context)
    return "\n".join((board.title, *(f"  {need}" for need in pack.needs), str(pack.folder), str(pack.archive)))


def main(argv: list[str]) -> int:
    if len(argv) > 1:
        raise BadInput(f"Unexpected {argv[1]!r}. Settings are given as --set=name=value; see --help.")
    from tfmo_drive.base.overrides import describe
    from tfmo_drive.expect import exit_code
    from tfmo_drive.experiment import Run
    from tfmo_drive.report.rendering.markdown import terminal

    name, chosen, workdir = experiment_flags.chosen()
    chosen = with_controls(chosen, FLAGS.controls)
    if FLAGS.plan:
        print(describe(chosen))
        return 0
    logging.set_verbosity(logging.INFO)
    run = Run(name=name, experiment=chosen, workdir=workdir, seed=FLAGS.seed, deterministic=FLAGS.deterministic)
    if FLAGS.board and not FLAGS.export:
        raise BadInput("--board makes a pack, which measures nothing: type make export-<experiment> BOARD=<name>.")
    if FLAGS.export:
        print(packed(run, FLAGS.board) if FLAGS.board else exported(run))
        return 0
    report = run.report()
    print(terminal(report))
    print(f"\n{workdir / 'report.html'}")
    return exit_code(report["expect"])


if __name__ == "__main__":
    command_line.start(main)
