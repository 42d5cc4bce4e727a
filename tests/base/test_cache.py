"""Entries of the cache: made once by whoever comes first, and made again where they are not as they were made."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tfmo_drive.base import cache
from tfmo_drive.contracts import BadInput
from tfmo_drive.data.image_cache import PackedExamples, pack_generated

NAMES = ("big.bin", "small.json", "maybe.npz")


@pytest.fixture
def entry(tmp_path):
    """entry() -> a path of the cache with big.bin and small.json; `entry.made` counts how often it was made."""

    def make(folder):
        call.made += 1
        (folder / "big.bin").write_bytes(bytes(range(256)) * 64)
        (folder / "small.json").write_text("{}")

    def call():
        return cache.made_once(tmp_path / "cache" / "0123456789", make, NAMES)

    call.made = 0
    return call


@pytest.fixture
def settled(monkeypatch):
    """Time goes on by a minute, so that what was just written counts as written long ago."""
    now = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: now() + 60 * 10**9)


def changed(path):
    """One bit, and the times of before."""
    before = path.stat()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def without(seal, name):
    del seal["files"][name]
    return seal


DAMAGE = {
    "a bit": lambda path: changed(path / "big.bin"),
    "the end": lambda path: os.truncate(path / "big.bin", 100),
    "more": lambda path: (path / "big.bin").open("ab").write(b"x"),
    "gone": lambda path: (path / "big.bin").unlink(),
    "small": lambda path: (path / "small.json").write_text("[]"),
    "one more that is read": lambda path: np.savez(path / "maybe.npz", a=1),
    "no seal": lambda path: (path / cache.SEAL).unlink(),
    "a file and its place in the seal": lambda path: [
        (path / "big.bin").unlink(),
        (path / cache.SEAL).write_text(json.dumps(without(json.loads((path / cache.SEAL).read_text()), "big.bin"))),
    ],
    "half a seal": lambda path: os.truncate(path / cache.SEAL, 40),
    "another seal": lambda path: (path / cache.SEAL).write_text('{"files": [], "seen": 3}'),
    "deep seal": lambda path: (path / cache.SEAL).write_text("[" * 100_000),
    "a fifo": lambda path: [(path / "big.bin").unlink(), os.mkfifo(path / "big.bin")],
}


@pytest.mark.parametrize("how", DAMAGE)
@pytest.mark.parametrize("looked_at_before", [False, True])
def test_a_damaged_entry_is_made_again(how, looked_at_before, entry, settled):
    good = {path.name: path.read_bytes() for path in entry().iterdir() if path.name != cache.SEAL}
    if looked_at_before:
        entry()
    assert entry.made == 1
    DAMAGE[how](entry())
    path = entry()
    assert entry.made == 2
    assert {path.name: path.read_bytes() for path in path.iterdir() if path.name != cache.SEAL} == good
    entry()
    assert entry.made == 2


def test_what_was_compared_once_is_not_read_again_until_it_is_written_to(entry, settled, monkeypatch):
    read, measured = [], cache._measured
    monkeypatch.setattr(cache, "_measured", lambda path: read.append(path.name) or measured(path))
    entry()  # made
    entry()  # compared
    read.clear()
    entry()
    assert not read
    changed(entry() / "big.bin")
    entry()
    assert "big.bin" in read and entry.made == 2


def test_a_copied_cache_is_compared_and_taken(entry, tmp_path, settled):
    path = entry()
    shutil.copytree(path, tmp_path / "copy")
    shutil.rmtree(path)
    (tmp_path / "copy").rename(path)
    entry()
    assert entry.made == 1


def test_nobody_elses_file_is_removed_with_a_damaged_entry(entry):
    path = entry()
    (path / "notes.txt").write_text("mine")
    entry()
    changed(path / "big.bin")
    with pytest.raises(BadInput, match=r"notes\.txt does not belong into the cache.* Move it away"):
        entry()
    assert (path / "notes.txt").read_text() == "mine"


WRITER = """
import os, sys, time
from pathlib import Path
os.getpid = lambda: 1  # as the first process of each container
from tfmo_drive.base import cache

def make(folder):
    with open(folder / "big.bin", "wb") as out:
        for part in range(20):
            out.write(sys.argv[2].encode() * 5000)
            out.flush()
            time.sleep(float(sys.argv[3]))

print(cache.made_once(Path(sys.argv[1]), make, ("big.bin",)))
"""


def test_processes_of_one_number_make_one_whole_entry(tmp_path):
    path = tmp_path / "0123456789"
    running = [subprocess.Popen([sys.executable, "-c", WRITER, path, letter, "0.01"], stdout=subprocess.PIPE)
               for letter in "abc"]  # fmt: skip
    assert [process.wait(60) for process in running] == [0, 0, 0]
    assert (path / "big.bin").read_bytes() in [letter * 100_000 for letter in (b"a", b"b", b"c")]
    assert not [name for name in os.listdir(tmp_path) if "tmp" in name or "old" in name]


def test_what_a_killed_writer_left_goes_with_the_next(tmp_path):
    path = tmp_path / "0123456789"
    process = subprocess.Popen([sys.executable, "-c", WRITER, path, "a", "10"])
    while not list(tmp_path.glob(".*.tmp/big.bin")):
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    ran = subprocess.run([sys.executable, "-c", WRITER, path, "b", "0"], check=True, capture_output=True, text=True)
    assert ran.stdout.strip() == str(path) and (path / "big.bin").read_bytes() == b"b" * 100_000
    assert sorted(os.listdir(tmp_path)) == [".0123456789.lock", "0123456789"]


SCRATCH = """
import sys, time
from pathlib import Path
from tfmo_drive.base import cache

with cache.scratch(Path(sys.argv[1])) as folder:
    (folder / "big.bin").touch()
    print(folder, flush=True)
    time.sleep(60)
"""


def test_a_scratch_folder_lives_as_long_as_its_process_and_not_longer(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", SCRATCH, tmp_path], stdout=subprocess.PIPE, text=True)
    theirs = Path(process.stdout.readline().strip())
    with cache.scratch(tmp_path) as ours:
        assert (theirs / "big.bin").exists() and ours.is_dir() and ours != theirs
    process.kill()
    process.communicate()
    assert theirs.exists()
    with cache.scratch(tmp_path) as ours:
        assert [path for path in tmp_path.iterdir() if path.is_dir()] == [ours]
    assert os.listdir(tmp_path) == [".scratch.lock"]


def test_a_pack_changed_by_hand_gives_its_right_pixels_again(tmp_path):
    def examples() -> PackedExamples:
        return pack_generated(lambda index: (np.full((4, 5, 3), index, np.uint8), index % 2), 6, "x", tmp_path)

    good = examples().read(np.arange(6))
    (folder,) = (path for path in tmp_path.iterdir() if path.is_dir())
    for name in ("images.u8", "labels.npy", "groups.npy", "pack.json"):
        changed(folder / name)
        for found, wanted in zip(examples().read(np.arange(6)), good, strict=True):
            np.testing.assert_array_equal(found, wanted)
