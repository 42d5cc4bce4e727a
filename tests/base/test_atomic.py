"""Files and folders appear whole or not at all, whoever else writes there; nothing but our own leftovers is removed."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys

import pytest

from tfmo_drive.base import atomic
from tfmo_drive.contracts import BadInput


@pytest.fixture
def one_number(monkeypatch):
    """Every process has this number, as the first of each container has."""
    monkeypatch.setattr(os, "getpid", lambda: 1)


def test_two_writers_of_one_number_do_not_meet(one_number, tmp_path):
    path = tmp_path / "model.h5"
    with atomic.file(path) as first:
        first.write_bytes(b"first, and longer")
        with atomic.file(path) as second:
            second.write_bytes(b"second")
        assert path.read_bytes() == b"second"
    assert path.read_bytes() == b"first, and longer"
    with atomic.folder(tmp_path / "pack") as one, atomic.folder(tmp_path / "pack") as other:
        (one / "a").write_text("one")
        (other / "a").write_text("other")
    assert (tmp_path / "pack" / "a").read_text() == "one"
    assert sorted(os.listdir(tmp_path)) == ["model.h5", "pack"]


def test_a_planted_link_is_not_written_through(one_number, tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("mine")
    for name in (".model.1.tmp.h5", ".model.tfmo_drive-0000000000000000.tmp.h5", "model.h5"):
        (tmp_path / name).symlink_to(victim)
    atomic.write_text(tmp_path / "model.h5", "theirs")
    assert victim.read_text() == "mine" and not (tmp_path / "model.h5").is_symlink()
    with pytest.raises(BadInput, match="is a link"):
        (tmp_path / "log.txt").symlink_to(victim)
        atomic.opened(tmp_path / "log.txt")
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(BadInput, match="no regular file"):
        atomic.opened(tmp_path / "fifo")


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_permissions_are_those_of_any_new_file(umask, tmp_path):
    before = os.umask(umask)
    try:
        atomic.write_text(tmp_path / "file", "")
        with atomic.folder(tmp_path / "folder") as folder:
            (folder / "inner").touch()
    finally:
        os.umask(before)
    found = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("file", "folder", "folder/inner")]
    assert found == [0o666 & ~umask, 0o777 & ~umask, 0o666 & ~umask]


KILLED = """
import os, signal, sys
from pathlib import Path
from tfmo_drive.base import atomic

place, stop = Path(sys.argv[1]), int(sys.argv[2])
calls = []

def dying(call):
    def counted(*arguments, **options):
        calls.append(call)
        if len(calls) == stop:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*arguments, **options)
    return counted

for name in ("rename", "replace", "unlink", "rmdir", "open", "mkdir", "fsync"):
    setattr(os, name, dying(getattr(os, name)))
with atomic.folder(place / "pack") as folder:
    for name in ("model.tflite", "model.json"):
        (folder / name).write_text("new")
"""


def test_killed_at_any_moment_either_the_old_folder_is_there_or_the_new_one(tmp_path):
    killed, seen = 0, set()
    for stop in range(1, 40):
        place = tmp_path / str(stop)
        with atomic.folder(place / "pack") as folder:
            for name in ("model.tflite", "old.json"):
                (folder / name).write_text("old")
        ran = subprocess.run([sys.executable, "-c", KILLED, place, str(stop)])
        atomic.recover(place)
        kept = {path.name: path.read_text() for path in (place / "pack").iterdir()}
        assert kept in ({"model.tflite": "old", "old.json": "old"}, {"model.tflite": "new", "model.json": "new"}), stop
        assert os.listdir(place) == ["pack"]
        seen.add(kept["model.tflite"])
        if ran.returncode == 0:
            break
        assert ran.returncode == -signal.SIGKILL
        killed += 1
    assert killed > 8 and seen == {"old", "new"}


def test_an_error_in_the_swap_puts_the_old_folder_back(tmp_path, monkeypatch):
    atomic.write_text(tmp_path / "pack" / "a", "old")
    rename = os.rename

    def fails(source, target):
        if str(source).endswith(".tmp"):
            raise OSError(28, "No space left on device")
        rename(source, target)

    monkeypatch.setattr(os, "rename", fails)
    with pytest.raises(OSError, match="No space"), atomic.folder(tmp_path / "pack"):
        pass
    assert (tmp_path / "pack" / "a").read_text() == "old" and os.listdir(tmp_path) == ["pack"]


OTHERS = (".notes.tmp", ".thesis.123.tmp.docx", ".a.tmpl", ".tmp", ".x.tfmo_drive.tmp", ".x.tfmo_drive-12.tmp",
          "x.tfmo_drive-0123456789abcdef.tmp", ".x.tfmo_drive-0123456789ABCDEF.tmp", "~$x.tmp")  # fmt: skip


def test_only_names_that_nobody_else_has_are_cleared(tmp_path):
    for name in OTHERS:
        (tmp_path / name).mkdir()
        (tmp_path / name / "content").touch()
    left = tmp_path / ".model.tfmo_drive-0123456789abcdef.tmp.h5"
    left.touch()
    folder = tmp_path / ".pack.tfmo_drive-0123456789abcdef.tmp"
    folder.mkdir()
    (folder / "a").touch()
    atomic.recover(tmp_path)
    assert sorted(os.listdir(tmp_path)) == sorted(OTHERS)
    assert all((tmp_path / name / "content").exists() for name in OTHERS)
    assert atomic.is_temporary(left.name) and not any(map(atomic.is_temporary, OTHERS))


def test_removing_a_folder_leaves_links_alone(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "kept").touch()
    (tmp_path / "stage").mkdir()
    (tmp_path / "stage" / "link").symlink_to(tmp_path / "elsewhere")
    atomic.remove_folder(tmp_path / "stage")
    assert os.listdir(tmp_path) == ["elsewhere"] and (tmp_path / "elsewhere" / "kept").exists()


@pytest.mark.parametrize("make", ["file", "folder"])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left"), RuntimeError("write failed: errno = 28")])
def test_a_full_disk_is_told_with_the_path_that_did_not_fit(tmp_path, make, error):
    with pytest.raises(OSError) as told, getattr(atomic, make)(tmp_path / "model.h5"):
        raise error
    assert (told.value.errno, told.value.filename) == (errno.ENOSPC, str(tmp_path / "model.h5"))
    assert not list(tmp_path.iterdir())
