"""Make the artifacts of an experiment, or reuse its finished stages, and measure nothing.

tfmo-drive export --experiment=quantized --data=path/to/images --weights=baseline.h5
"""

from __future__ import annotations

from absl import flags

from tfmo_drive.commands import baseline_worth, chosen_run

flags.adopt_module_key_flags(chosen_run)


def main(argv: list[str]) -> int:
    """Prints the path of every artifact of the run that the flags choose, and returns the exit code."""
    with chosen_run.run(argv).chain() as made:
        baseline_worth.warn(made.context, "test")
        print("\n".join(str(artifact.path) for artifact in made.artifacts))
    return 0
