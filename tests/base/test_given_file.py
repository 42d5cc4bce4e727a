"""Files that somebody gives: whatever their reader raises becomes one line that names the file."""

import json
import os

import pytest

from tfmo_drive.base.given_file import json_of, reading, text_of
from tfmo_drive.contracts import BadInput

RAISED = [ValueError("two\nlines"), KeyError("x"), MemoryError(), RecursionError("deep"), OSError()]


@pytest.mark.parametrize("error", RAISED)
def test_whatever_a_parser_raises_is_one_line_that_names_the_file(tmp_path, error):
    (tmp_path / "file.bin").write_bytes(b"")
    with pytest.raises(BadInput, match="file.bin is not a list of signs: .*Write it anew.") as told:
        with reading(tmp_path / "file.bin", "a list of signs", "Write it anew."):
            raise error
    assert str(told.value).isprintable() and told.value.__cause__ is error


def test_bad_input_from_inside_and_interrupts_pass_as_they_are(tmp_path):
    (tmp_path / "file.bin").write_bytes(b"")
    for error in (BadInput("as it is"), KeyboardInterrupt()):
        with pytest.raises(type(error)) as told, reading(tmp_path / "file.bin", "anything"):
            raise error
        assert told.value is error


def test_what_would_keep_its_reader_waiting_is_refused_before_it_is_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.json")
    for path in (tmp_path / "pipe.json", "/dev/zero"):
        with pytest.raises(BadInput, match="is a pipe or a device, not a file. Expected a list"):
            json_of(path, "a list")


def test_texts_may_begin_with_a_byte_order_mark(tmp_path):
    (tmp_path / "names.json").write_bytes(b"\xef\xbb\xbf" + json.dumps(["é"]).encode())
    assert json_of(tmp_path / "names.json", "a list") == ["é"]
    assert text_of(tmp_path / "names.json", "a list").startswith("[")


@pytest.mark.parametrize("content", [b"\xff\xfe{", b"[" * 100_000, b"1" * 5000, b"", b'["\\ud800"]'])
def test_what_is_no_json_is_told(tmp_path, content):
    (tmp_path / "names.json").write_bytes(content)
    with pytest.raises(BadInput, match="names.json is not a list: "):
        json_of(tmp_path / "names.json", "a list")
    with pytest.raises(BadInput, match="none.json cannot be read: No such file or directory. Expected a list."):
        json_of(tmp_path / "none.json", "a list")


def test_what_bad_input_quotes_stays_in_its_line():
    assert str(BadInput('the cell "a\nb\0\u2028\ud800é"')) == 'the cell "a\\nb\\x00\\u2028\\ud800é"'
