from pathlib import Path

import pytest

from tfmo_drive.base.faults import counted, refuse
from tfmo_drive.contracts import BadInput


def test_faults_are_counted_and_ten_named():
    names = [f"{number}.png" for number in range(1200)]
    assert counted(names[:2], 30, "images are missing") == "2 of 30 images are missing: 0.png, 1.png."
    text = counted(names, 5000, "images are missing")
    assert text.startswith("1,200 of 5,000 images are missing: 0.png, ") and text.endswith("9.png and 1,190 more.")


def test_faults_are_an_error_unless_they_may_be_left_out(caplog):
    with pytest.raises(BadInput, match=r"^data: 1 of 3 images are odd: a.png. Mend .*--set=task.skip_bad=True.$"):
        refuse(Path("data"), ["a.png"], 3, "images are odd", False)
    refuse(Path("data"), ["a.png"], 3, "images are odd", True)
    assert "1 of 3 images are odd: a.png. They are left out." in caplog.text
    refuse(Path("data"), [], 3, "images are odd", False)


def test_where_nothing_else_is_left_faults_cannot_be_left_out():
    with pytest.raises(BadInput, match="3 of 3"):
        refuse(Path("data"), ["a", "b", "c"], 3, "images are odd", True)
