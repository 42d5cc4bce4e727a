"""Tries conversions before anything is trained, in a process of its own, which a converter may take down.

TensorFlow 2.21's converter ends the process (SIGSEGV) for some graphs: such a target is refused like any other that
cannot take a model, with the signal named. What was found is kept, so that a graph is tried once for each target.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import pickle
import signal
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging

from tfmo_drive.base import cache, environment, progress, python_file
from tfmo_drive.base.overrides import settings
from tfmo_drive.contracts import Arrays, BadInput, Preprocessing, Preprocessings, Target
from tfmo_drive.conversion.freezing import Frozen
from tfmo_drive.conversion.warm_process import WarmProcess, serve

IMAGES = 2
"""The number of raw inputs, noise in their range, from which a trial takes activation ranges."""
CRASHES = (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL)
"""The signals of a process that went wrong by itself; others are somebody's wish, or a lack of memory."""
_VERDICT = "verdict.json"
_LINES = "verdicts.jsonl"
_RUNNING = ("threads", "kernels")
"""Settings of targets about how a file is run, not how it is made."""


@dataclasses.dataclass(frozen=True, eq=False)
class Trial:
    """Describes one conversion to be tried."""

    model: str
    """A text that is equal for graphs of equal structure; "" where nobody knows one, so that nothing is kept."""
    frozen: Callable[[], Frozen]
    """Returns the graph; called only where the verdict is not known yet."""
    target: Target

    @functools.cached_property
    def place(self) -> Path:
        """Returns the folder of the cache that keeps the verdict."""
        set_ = {name: value for name, value in settings(self.target).items() if name not in _RUNNING}
        versions = environment.versions() | {"ethos-u-vela": environment.version("ethos-u-vela")}
        key = [self.model, set_, versions, _program(), python_file.own_code(self.target)]
        return cache.cache_root() / "trials" / cache.digest(key)


class _NotTriedError(Exception):
    """Says that a trial came to no verdict."""


def reasons(trials: Sequence[Trial]) -> list[str]:
    """Returns why each conversion cannot be, in one sentence, or "" where it can, or where that is not known.

    All that are not known yet are tried in one process, or a few, where one is taken down.
    """
    found: dict[int, str | None] = {}

    def reason(number: int) -> str | None:
        if number not in found:
            wanted = {one.place if one.model else n: n for n, one in enumerate(trials)}  # equal ones are tried once
            wanted = [n for place, n in wanted.items() if n == place or not place.exists()]
            found.update(_tried({n: trials[n] for n in {number, *wanted}}))
        return found[number]

    def kept(number: int, trial: Trial) -> str:
        def make(folder: Path) -> None:
            if (said := reason(number)) is None:
                raise _NotTriedError
            (folder / _VERDICT).write_text(json.dumps({"reason": said}))

        try:
            if not trial.model:
                return reason(number) or ""
            with cache.keeping("Verdicts on conversions", trial.place.parent):
                return json.loads((cache.made_once(trial.place, make, (_VERDICT,)) / _VERDICT).read_text())["reason"]
        except _NotTriedError:
            return ""

    return [kept(number, trial) for number, trial in enumerate(trials)]


def _tried(trials: Mapping[int, Trial]) -> dict[int, str | None]:
    """Returns the reasons by the trials' numbers, None where a trial came to no verdict."""
    found: dict[int, str | None] = {}
    if any(not type(one.target).__module__.startswith("tfmo_drive.") for one in trials.values()):
        _OTHER.end()  # a user's own class may be another one by now
    _OTHER.start()  # it imports TensorFlow while the graphs are frozen here
    with tempfile.TemporaryDirectory() as folder:
        lines, saved, graphs = Path(folder) / _LINES, {}, {}
        for number, trial in trials.items():
            try:
                frozen = trial.frozen()
                (Path(folder) / f"{number}.target").write_bytes(pickle.dumps(trial.target))
            except BadInput as error:
                found[number] = str(error)
            except (pickle.PicklingError, AttributeError):  # a class inside a function, which no process can find
                found[number] = None
            else:
                if frozen not in saved:
                    saved[frozen] = f"{number}.graph"
                    frozen.save(Path(folder) / saved[frozen])
                graphs[number] = saved[frozen]
        todo = [number for number in trials if number not in found]
        if todo:
            progress.say(f"before anything is trained, conversions are tried once for each kind of model: {len(todo)}")
        while todo:
            places = [[n, graphs[n], type(trials[n].target).__module__, _file(trials[n].target)] for n in todo]
            code = _child(folder, places)
            said = [json.loads(line) for line in lines.read_text().splitlines()] if lines.exists() else []
            found |= {one["trial"]: one["reason"] for one in said if "reason" in one}
            begun = [one["trial"] for one in said if one["trial"] not in found]
            if code == 0 or not begun:
                break
            found[begun[-1]] = _crash(trials[begun[-1]], code)
            todo = [number for number in todo if number not in found]
    return dict.fromkeys(trials) | found


def _child(folder: str, places: list[list]) -> int:
    """Has the trials made by another process and returns 0, or the code with which it ended: minus the signal."""
    code = _OTHER.ask([folder, places])
    if code > 0:
        logging.warning(
            "Conversions could not all be tried before training (%s); they are left to the run.", _OTHER.last_line()
        )
    return code


_OTHER = WarmProcess(__name__, {"CUDA_VISIBLE_DEVICES": "-1"})
"""The process that makes trials. It sees no GPU, whose memory this one may hold already."""


def _crash(trial: Trial, code: int) -> str | None:
    """Returns the reason where the process was ended by one of CRASHES, else None."""
    if -code not in CRASHES:
        return None
    return (
        f"{trial.target.name}: the converter of TensorFlow takes its process down ({signal.Signals(-code).name}) for "
        f"{trial.frozen().name}. Use another target (--set=targets+=LiteRTDynamic), or replace the layer that a plain "
        "model has not."
    )


def _file(target: Target) -> str:
    """Returns the file of a user's own target, "" for the package's."""
    kind = type(target).__module__
    return "" if kind.startswith("tfmo_drive.") else str(getattr(sys.modules.get(kind), "__file__", None) or "")


def noise(preprocessing: Preprocessing | Preprocessings, shape: Any) -> Arrays:
    """Returns IMAGES raw inputs that mean nothing but lie where real ones do.

    Args:
        preprocessing: Gives type and range; inputs without a range are standardised rows turned back.
        shape: The graph's shape [b, ...]; of several inputs, their shapes by name.
    """
    random = np.random.default_rng(0)

    def made(rule: Preprocessing, shape: Sequence[int | None]) -> np.ndarray:
        size = (IMAGES, *shape[1:])
        if rule.input_range:
            return random.uniform(*rule.input_range, size).astype(rule.dtype)
        standard, scale = random.standard_normal(size), np.asarray(rule.scale)
        unused = scale == 0  # a column that is constant in train
        return np.where(unused, 0, (standard - rule.offset) / np.where(unused, 1, scale)).astype(np.float32)

    return preprocessing.of_each(made, shape)


@functools.cache
def _program() -> str:
    """Returns a digest of the package's own source."""
    whole = hashlib.sha256()
    for path in sorted(Path(__file__).parents[1].rglob("*.py")):
        whole.update(path.read_bytes())
    return whole.hexdigest()


def _make(folder: Path, places: list[list]) -> None:
    """Tries the conversions whose files lie in `folder`, with a line before and after each.

    Args:
        folder: A folder with targets and graphs, that gets the lines.
        places: [number, name of the graph's file, the module of the target's class, and its file] of each.
    """
    for number, graph, module, file in places:
        if module.startswith("own_"):
            python_file.read(Path(file))
        elif module == "__main__":
            continue  # whose file would do again what it does
        try:
            target = pickle.loads((folder / f"{number}.target").read_bytes())
        except (ImportError, AttributeError):
            continue
        _say(folder, {"trial": number})
        frozen, place = Frozen.load(folder / graph), folder / f"{number}.files"
        place.mkdir()
        try:
            target.trial(frozen, noise(frozen.preprocessing, frozen.shape), place)
        except BadInput as error:
            _say(folder, {"trial": number, "reason": str(error)})
        else:
            _say(folder, {"trial": number, "reason": ""})


def _say(folder: Path, line: dict[str, Any]) -> None:
    with open(folder / _LINES, "a") as lines:
        lines.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    serve(lambda request: _make(Path(request[0]), request[1]))
