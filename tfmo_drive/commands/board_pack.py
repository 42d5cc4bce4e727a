"""Write the pack of an experiment's model for a board: a folder for the firmware team that proves itself.

    tfmo-drive pack --experiment=channels_quantized --board=raspberry_pi_4 --data=path/to/images --weights=baseline.h5

Finished stages are reused, missing ones are made first. It says what the model needs of the board; `tfmo-drive list
boards` prints the boards there are. Exit code 1 where the model does not fit; the pack is written all the same.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from absl import flags

from tfmo_drive.commands import baseline_worth, chosen_run
from tfmo_drive.contracts import BadInput

FLAGS = flags.FLAGS
flags.adopt_module_key_flags(chosen_run)
flags.DEFINE_string("board", None, "A board that `tfmo-drive list boards` prints (raspberry_pi_4), or a path.")


def main(argv: list[str]) -> int:
    """Writes the pack and prints where it is and whether the model fits; returns the exit code.

    Raises BadInput where no board is named or the board's target does not take the model.
    """
    from tfmo_drive.boards.board import named
    from tfmo_drive.expect import Expect
    from tfmo_drive.pack.write_pack import write

    if not FLAGS.board:
        raise BadInput("Say which board: --board=raspberry_pi_4; `tfmo-drive list boards` prints all.")
    board, run = named(FLAGS.board), chosen_run.run(argv)
    there = dataclasses.replace(run.experiment, targets=(board.target,), expect=Expect())
    with dataclasses.replace(run, experiment=there).chain() as made:
        if not made.artifacts:
            raise BadInput(f"{board.title} does not take this model; the line above says why.")
        baseline_worth.warn(made.context, "test")
        pack = write(made.artifacts[0], board, Path(FLAGS.board).stem, made.context, run.experiment.expect)
    said = [*map(str, pack.needs), *filter(None, [pack.estimate])]
    print(board.title, *(f"  {line}" for line in said), pack.folder, pack.archive, sep="\n")
    return 0 if all(need.fits for need in pack.needs) else 1
