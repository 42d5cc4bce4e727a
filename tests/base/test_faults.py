import re
from pathlib import Path

import pytest

from tfmo_drive.base import faults
from tfmo_drive.base.faults import counted, gathered, note, refuse
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


def test_what_is_noted_is_gathered_once_and_by_all_who_listen():
    note("before", "nobody hears it.")
    with gathered() as outer:
        note("a", "one.\n")
        with gathered() as inner:
            note("b", "two.")
            note("a", "one.\n")
    assert [one.text for one in outer] == ["one.\\n", "two."] and [one.source for one in inner] == ["b", "a"]


def test_a_property_says_its_notes_again_to_who_listens_later(caplog):
    class Data:
        made = 0

        @faults.noting
        def listing(self):
            """Lists."""
            self.made += 1
            note("data", "odd.")
            return self.made

    data = Data()
    assert data.listing == 1 and Data.listing.__doc__ == "Lists."
    with gathered() as first:
        with gathered() as second:
            assert data.listing == data.listing == 1
    assert [*first] == [*second] == [("data", "odd.")]
    assert caplog.text.count("odd.") == 1  # to whoever reads along, once


def test_data_is_noted_and_not_only_logged():
    """What a listing says of data must reach the report."""
    package = Path(faults.__file__).parents[1]
    files = {*(package / "data").rglob("*.py"), *(package / "tasks").rglob("*.py")}
    files -= {package / "tasks" / "arrays" / "array_task.py"}  # what it says is of a model
    assert len(files) > 50 and not [file for file in files if re.search(r"logging\.(warning|log)\(", file.read_text())]
