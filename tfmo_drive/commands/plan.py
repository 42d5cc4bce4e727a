"""Print every setting of an experiment as it would be run, with the name under which --set changes it.

tfmo-drive plan --experiment=pruned --set=recipe.0.sparsity=0.7
"""

from __future__ import annotations

from absl import flags

from tfmo_drive.commands import chosen_run

flags.adopt_module_key_flags(chosen_run)


def main(argv: list[str]) -> int:
    """Prints the settings of the experiment that the flags choose, and returns the exit code."""
    from tfmo_drive.base.overrides import describe

    print(describe(chosen_run.experiment(argv)[1]))
    return 0
