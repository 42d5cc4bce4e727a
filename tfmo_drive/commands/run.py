"""Run an experiment: train or read the baseline, compress it, convert it, measure it, write the report.

    tfmo-drive run --experiment=pruned_quantized --data=path/to/images --weights=baseline.h5
    tfmo-drive run --experiment=pruned --set=recipe.0.sparsity=0.7 --set=recipe.0.epochs=2

Without --data it uses the built-in driving scenes; without --weights it trains the baseline first. Everything goes into
--workdir; started again with the same settings, finished stages are reused and an interrupted one continues. Exit code
1: bad input (one line says what to do), a broken promise, or a missed expectation; 3: an expected latency that could
not be measured because the machine is busy, and no other miss.
"""

from __future__ import annotations

from absl import flags

from tfmo_drive.commands import chosen_run

flags.adopt_module_key_flags(chosen_run)


def main(argv: list[str]) -> int:
    """Runs the experiment that the flags choose, prints its report, and returns the exit code."""
    from tfmo_drive.expect import exit_code
    from tfmo_drive.report.rendering.markdown import terminal

    run = chosen_run.run(argv)
    report = run.report()
    print(terminal(report))
    print(f"\n{run.workdir / 'report.html'}")
    return exit_code(report["expect"])
