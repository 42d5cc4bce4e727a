"""Makes the run that the flags of `run`, `plan`, `export` and `pack` choose, with the controls asked for."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from absl import flags, logging

from tfmo_drive.base.recipe import SMALL
from tfmo_drive.base.spelling import suggestion
from tfmo_drive.commands import experiment_flags
from tfmo_drive.contracts import BadInput

if TYPE_CHECKING:
    from tfmo_drive.experiment import Experiment
    from tfmo_drive.flow.flow import Run

FLAGS = flags.FLAGS
flags.adopt_module_key_flags(experiment_flags)
flags.DEFINE_list("controls", None, "Only these controls (none: no control). Default: all.")


def run(argv: list[str]) -> Run:
    """Returns the run that the flags choose, from now on with its progress on the terminal.

    Raises BadInput as `experiment_flags.chosen` does, and for the name of a control that there is not.
    """
    run = experiment_flags.run(argv)
    chosen = with_controls(run.experiment, FLAGS.controls)
    given = experiment_flags.assignments()
    chosen = without_levels(chosen, given)
    return dataclasses.replace(run, experiment=chosen, spared=spared(chosen, given))


def without_levels(chosen: Experiment, assignments: list[str]) -> Experiment:
    """Returns the experiment without the levels that its file expects of its own data, where the flags give others.

    What the flags ask themselves is asked of whatever data they give.
    """
    set_here = {one.partition("=")[0].strip() for one in assignments}
    names = [name for name in chosen.expect.of_data() if f"expect.{name}" not in set_here]
    if "task.data" not in set_here or not names:
        return chosen
    logging.warning(
        "not judged, for it is about the experiment's own data: %s. Ask for what you want of yours with "
        "--set=expect.%s=...", ", ".join(names), names[0],
    )  # fmt: skip
    return dataclasses.replace(chosen, expect=dataclasses.replace(chosen.expect, **dict.fromkeys(names)))


def spared(chosen: Experiment, assignments: list[str]) -> tuple[str, ...]:
    """Returns the expectations that a baseline given by the flags need not meet where it is another network.

    They are the bounds of size, speed and level that the experiment's file gives for its own network; what the flags
    ask themselves is asked of whatever model they give.
    """
    set_here = {one.partition("=")[0].strip() for one in assignments}
    if "task.baseline" not in set_here:
        return ()
    return tuple(name for name in chosen.expect.of_network() if f"expect.{name}" not in set_here)


def experiment(argv: list[str]) -> tuple:
    """Returns (name, Experiment with the settings and the controls asked for, run folder).

    Raises BadInput as `run` does.
    """
    name, chosen, workdir = experiment_flags.chosen(argv)
    return name, with_controls(chosen, FLAGS.controls), workdir


def with_controls(whole: Experiment, names: list[str] | None) -> Experiment:
    """Returns the experiment with the named controls alone (["none"]: without any; None: all of them).

    Raises BadInput for the name of a control that it does not have.
    """
    if names is None:
        return whole
    names = [] if names == ["none"] else names
    for name in names:
        if name not in whole.all_controls:
            raise BadInput(f"--controls: no control {name!r}. {suggestion(name, whole.all_controls)}")
    expect, left_out = whole.expect, ", ".join(name for name in whole.controls if name not in names)
    if left_out and expect.over_control is not None:
        logging.warning("expect.over_control is not judged: it compares with the best control, and without %s nobody "
                        "knows which that is.", left_out)  # fmt: skip
        expect = dataclasses.replace(expect, over_control=None)
    kept = {name: whole.controls[name] for name in names if name != SMALL}
    return dataclasses.replace(whole, controls=kept, small_from_nothing=SMALL in names, expect=expect)
