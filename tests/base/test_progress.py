"""A line of progress says its place, and what is left of it: by hand."""

from __future__ import annotations

import pytest

from tfmo_drive.base import progress


@pytest.fixture
def said(monkeypatch):
    lines = []
    monkeypatch.setattr(progress.logging, "info", lambda form, *values: lines.append(form % values))
    return lines


def test_lines_say_where_the_run_is_and_how_long_it_takes_still(said):
    with progress.through([("baseline", 0), ("Prune", 4), ("QuantizeAware", 1), ("Train of longer_training", 5)]):
        progress.begin(2)
        progress.say_epoch(1, 4, "loss 0.5000", 10)
        progress.begin(4)
        progress.resumed(3)
        progress.say_epoch(4, 5, "loss 0.4000", 65)
        progress.say_epoch(5, 5, "loss 0.3000", 65)
    assert said == [
        "step 2 of 4: Prune, epoch 1 of 4, loss 0.5000, 30.0 s left, 1 min 30 s until all steps are trained",
        "step 4 of 4: Train of longer_training, epoch 4 of 5, loss 0.4000, 1 min 05 s left",
        "step 4 of 4: Train of longer_training, epoch 5 of 5, loss 0.3000",
    ]


def test_a_step_of_several_rounds_counts_the_epochs_of_all(said):
    with progress.through([("ChannelPruning", 4)]):
        progress.begin_part("round 1 of 2")
        progress.say_epoch(1, 1, "loss 1", 2)
        progress.begin_part("round 2 of 2")
        progress.say_epoch(1, 3, "loss 1", 2)
    assert said == [
        "step 1 of 1: ChannelPruning, round 1 of 2, epoch 1 of 1, loss 1, 6.0 s left",
        "step 1 of 1: ChannelPruning, round 2 of 2, epoch 1 of 3, loss 1, 4.0 s left",
    ]


def test_outside_a_run_a_line_is_what_it_says(said):
    progress.begin_part("round 1 of 2")
    progress.resumed(1)
    progress.say_epoch(2, 3, "loss 1", 2)
    assert said == ["epoch 2 of 3, loss 1, 2.0 s left"] and not progress.place()


def test_the_journey_of_a_step_knows_all_its_epochs():
    from tfmo_drive.steps.channel_pruning import ChannelPruning
    from tfmo_drive.steps.prune import Prune

    assert Prune(epochs=3).all_epochs == 3
    assert ChannelPruning(rounds=3, epochs_between=2, epochs=4).all_epochs == 8
