"""Defines the command line `tfmo-drive VERB`: which verbs there are, and the module that does each."""

from __future__ import annotations

import importlib
import sys

from tfmo_drive import __version__
from tfmo_drive.base.spelling import suggestion
from tfmo_drive.commands import command_line

COMMAND = "tfmo-drive"
VERBS = {
    "look": ("look", "Say what a folder of data holds, which task reads it, and draw its truth; nothing is trained."),
    "run": ("run", "Train or read the baseline, compress it, convert it, measure it, write the report."),
    "plan": ("plan", "Print what a run would do, what is finished already, and every setting; nothing is trained."),
    "export": ("export", "Make the artifacts alone, or reuse their stages; nothing is measured."),
    "pack": ("board_pack", "Write the pack of a model for a board, and say whether it fits."),
    "verify": ("verify_pack", "Check a pack that somebody sent, with this program's code and not with the pack's."),
    "predict": ("predict", "Print what a model file says of images, from the file's own metadata."),
    "compare": ("compare", "Put several runs into one table and one plot for each data set."),
    "lint": ("lint.lint", "Find what would go wrong in int8, before anything is trained."),
    "sensitivity": ("sensitivity.sensitivity", "Find out which layers can be compressed, and how far."),
    "ledger": ("ledger.ledger", "Follow the score from Keras through every step to the file on every runtime."),
    "npu": ("npu", "Compile the int8 files of finished runs for an Arm Ethos-U, and tabulate its estimates."),
    "list": ("catalogue", "Print the experiments, boards and steps there are, with a line each."),
}


def main() -> None:
    """Runs the verb that the command line names; without one, prints which there are."""
    verb = sys.argv[1] if len(sys.argv) > 1 else ""
    if verb in ("--version", "-V"):
        print(f"{COMMAND} {__version__}")
        return
    if verb in ("", "help", "-h", "--help", "--helpshort", "--helpfull"):
        print(overview())
        sys.exit(0 if verb else 1)
    if verb not in VERBS:
        print(f"error: There is no verb {verb!r}. {suggestion(verb, VERBS)}", file=sys.stderr)
        sys.exit(1)
    sys.argv = [f"{COMMAND} {verb}", *sys.argv[2:]]
    command_line.start(importlib.import_module(f"tfmo_drive.commands.{VERBS[verb][0]}").main)


def overview() -> str:
    """Returns the verbs with a line each, and what to type next."""
    lines = [f"  {verb:<12} {line}" for verb, (_, line) in VERBS.items()]
    head = "Compress Keras driving-perception models for embedded boards, and prove what it cost."
    return "\n".join([head, "", f"usage: {COMMAND} VERB [flags]", "", *lines, "", f"{COMMAND} VERB --help says more."])
