"""Files of other libraries given as a model: each is told for what it is, and nothing of it is read."""

from __future__ import annotations

import pytest

from tfmo_drive.contracts import BadInput
from tfmo_drive.networks import foreign_files, own_model

ENDS = [end for ends in foreign_files._KINDS for end in ends]


@pytest.mark.parametrize("end", ENDS)
def test_every_kind_is_named_in_one_line_that_says_what_to_give(end, tmp_path):
    path = tmp_path / f"Model{end.upper()}"
    path.write_bytes(b"\x80\x04never read")
    with pytest.raises(BadInput) as told:
        own_model.is_whole_model(path, "distill.teacher")
    said = str(told.value)
    assert said.startswith(f"distill.teacher: {path} is a ") or said.startswith(f"distill.teacher: {path} is an ")
    assert "{" not in said and any(word in said for word in (".keras", ".tflite"))


def test_kinds_do_not_overlap_with_one_another_or_with_what_is_read():
    assert len(ENDS) == len(set(ENDS)) and not {".keras", ".h5", ".hdf5", ".tflite"} & set(ENDS)
