"""Check a board pack with this program's code: files, digests, facts, and what the model answers on this machine.

    tfmo-drive verify runs/channels_quantized/pack/raspberry_pi_4

A pack brings its own verify.py, for machines without this program; whoever changed a pack could have changed that too.
Exit code 1: something is not as it was packed, and a line says what.
"""

from __future__ import annotations

from pathlib import Path

from tfmo_drive.contracts import BadInput


def main(argv: list[str]) -> int:
    """Prints a line for everything that is wrong with the pack in the folder argv[1], and returns the exit code."""
    from tfmo_drive.pack import verify

    if len(argv) != 2:
        raise BadInput("Give the folder of one pack: tfmo-drive verify runs/<experiment>/pack/<board>.")
    folder = Path(argv[1])
    if not (folder / verify.SUMS).is_file():
        raise BadInput(f"{folder} is no pack: it has no {verify.SUMS}. Give the folder that `tfmo-drive pack` wrote.")
    verify.HERE = folder.resolve()
    return verify.main()
