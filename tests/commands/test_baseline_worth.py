"""Commands that measure no rows say it all the same where the baseline is worth nothing."""

import dataclasses
import inspect

import numpy as np
import pytest

from tfmo_drive.commands import baseline_worth, board_pack, export
from tfmo_drive.commands.sensitivity import sensitivity


@pytest.mark.parametrize("split", ["val", "test"])
def test_an_untrained_baseline_is_said_in_one_line_and_a_trained_one_passes(context, small_cnn, caplog, split):
    baseline_worth.warn(context(), split)
    assert not caplog.records
    baseline_worth.warn(dataclasses.replace(context(), baseline=small_cnn), split, 40)
    (line,) = caplog.messages
    assert line.startswith(f"WORTHLESS BASELINE: the float model, on 40 examples of {split}, ") and "\n" not in line
    assert line.endswith("Train it longer, or give other weights.")


def test_examples_are_sampled_by_the_seed_and_stand_in_order(context):
    found = baseline_worth.sampled(context(), "val", 9)
    assert len(found) == 9 and np.all(np.diff(found) > 0)
    assert np.array_equal(found, baseline_worth.sampled(context(), "val", 9))
    assert len(baseline_worth.sampled(context(), "val", 10**9)) == len(context().task.examples("val"))


@pytest.mark.parametrize("command", [board_pack, export, sensitivity], ids=lambda command: command.__name__)
def test_every_command_that_makes_no_report_asks(command):
    assert "baseline_worth.warn(" in inspect.getsource(command.main)
