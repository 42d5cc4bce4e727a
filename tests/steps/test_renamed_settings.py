"""An older command line gets the new name of a setting, and an answer that can be typed."""

from __future__ import annotations

import dataclasses

import pytest

from tfmo_drive.base import overrides
from tfmo_drive.contracts import BadInput
from tfmo_drive.steps.channel_pruning import ChannelPruning
from tfmo_drive.steps.prune import Prune
from tfmo_drive.training.distillation import Features, SoftLabels


@dataclasses.dataclass(frozen=True)
class Recipe:
    recipe: tuple = (ChannelPruning(distill=SoftLabels(features=Features())), Prune())


@pytest.mark.parametrize(("old", "value", "new"), [
    ("recipe.0.removed", "0.25", "recipe.0.pruning_ratio"),
    ("recipe.0.distill.views", "2", "recipe.0.distill.augmented_copies"),
    ("recipe.0.distill.features.where", "objects", "recipe.0.distill.features.places"),
])  # fmt: skip
def test_a_renamed_setting_is_answered_by_its_new_name_which_works(old, value, new):
    with pytest.raises(BadInput, match=f'has no "{old.split(".")[-1]}" .*Did you mean "{new}"'):
        overrides.override(Recipe(), [f"{old}={value}"])
    assert overrides.override(Recipe(), [f"{new}={value}"]) != Recipe()


def test_what_was_never_there_is_answered_as_before():
    with pytest.raises(BadInput, match=r'recipe.1 \(Prune\) has no "removed" .*There is: '):
        overrides.override(Recipe(), ["recipe.1.removed=0.25"])


def test_every_new_name_is_a_setting():
    fields = {field.name for kind in (ChannelPruning, SoftLabels, Features) for field in dataclasses.fields(kind)}
    assert fields >= set(overrides._RENAMED.values()) and not fields & overrides._RENAMED.keys()
