"""Runs that are stopped and gone on with: where all parts stand at the end of a window, in an unfinished run file.

A part of a run (engine, settling watch, observer) says with `keeps` which of its attributes hold where it stands or
what it has seen: numbers, arrays, dicts and lists of them, and parts that say so themselves. All else is made anew by
the same call. Windows are the same whenever they are asked for, so a run that goes on at the end of one is the
uninterrupted run, bit for bit on the same device.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time as clock
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..circuits import checks
from ..circuits.errors import Error, shown
from .files import check_target
from .plan import Plan
from .request import Request
from .runfile import load_state, save_run

Array = Any
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Checkpoint:
    """Where a run is kept as far as it got: path of a run file; every [s]: of wall time, at the ends of windows;
    overwrite: a file that is there; stays_open: at its end the run is not written as a finished one, since its caller
    has more to do with it."""

    path: str | Path
    every: float = 60.0
    overwrite: bool = False
    stays_open: bool = False

    def __post_init__(self) -> None:
        checks.number("every", self.every, "give seconds of wall time, 0 (at each window) or more", least=0)


class Stopped(KeyboardInterrupt):
    """Ctrl-C, and what is kept of the run."""


class Keeper:
    """Writes the state at the end of the last whole window, now and then and when a run is stopped."""

    def __init__(self, checkpoint: Checkpoint | None, run: Any, parts: Mapping[str, Any], case: dict[str, Any]) -> None:
        """run: filled and saved as far as it got; parts: what has a state, by name; case: what the run is of."""
        self.checkpoint, self.run, self.parts, self.case = checkpoint, run, parts, case
        self.windows, self.time, self.ended = 0, 0.0, False
        self._written = clock.perf_counter()
        self._state: dict[str, Any] = {}
        if checkpoint:
            self._state = self._taken()

    def window(self, time: float, *, ended: bool) -> None:
        """All parts have reached the end of a window; ended: it is the last."""
        self.windows, self.time, self.ended = self.windows + 1, time, ended
        if self.checkpoint:
            self._state = self._taken()
            if clock.perf_counter() - self._written >= self.checkpoint.every:
                self._write(self.checkpoint)

    @contextmanager
    def guard(self) -> Iterator[None]:
        """A march that is stopped in here leaves what it did."""
        try:
            yield
        except KeyboardInterrupt:
            if not self.checkpoint:
                raise
            self._write(self.checkpoint)
            raise Stopped(f"after {self.time:.3g} s: resume {self.checkpoint.path} to go on") from None
        except MemoryError as problem:
            said = f"memory ran out after {self.time:.3g} s of {self.run.circuit.name!r}"
            if not self.checkpoint:
                raise Error(f"{said}: use fewer tokens, inputs or samples at once, or another device") from problem
            self._write(self.checkpoint)
            raise Error(f"{said}: make room, then resume {self.checkpoint.path} to go on") from problem

    def _taken(self) -> dict[str, Any]:
        return {"windows": self.windows, "time": self.time, "ended": self.ended, "parts": _taken(self.parts)}

    def _write(self, checkpoint: Checkpoint) -> None:
        x = self._state["parts"]["engine"]["x"]
        units = self.run.circuit.units
        self.run.outputs = {name: value * units(name) for name, value in x.items()}
        self.run.duration = self._state["time"]
        state = self._state | {"case": self.case}
        save_run(self.run, checkpoint.path, overwrite=True, state=state)
        self._written = clock.perf_counter()
        log.info("kept %s: %.3g s", checkpoint.path, self.time)

    def close(self) -> None:
        """The march is at its end; who has more to do with the run finds it as it is."""
        if self.checkpoint and self.checkpoint.stays_open:
            self._write(self.checkpoint)
        elif self.checkpoint:
            self.run.save(self.checkpoint.path, overwrite=True)

    def resume(self, path: str | Path, xp: Any) -> None:
        """Go on where the run in a file was stopped. Raises Error for a file of another run, and for a finished one."""
        state = load_state(path)
        check_case(path, state["case"], self.case)
        if set(state["parts"]) != set(self.parts):
            made = ", ".join(sorted(state["parts"].keys() - {"engine"})) or "none"
            raise Error(f"run file {path} was watched by other observers ({made}): pass the same")
        _restored(self.parts, state["parts"], xp)
        self.windows, self.time, self.ended = state["windows"], state["time"], state["ended"]
        if self.checkpoint:
            self._state = self._taken()


def checked(checkpoint: Checkpoint | str | Path | None, resume: str | Path | None, observers: Any) -> Checkpoint | None:
    """A checkpoint that can be written, before any work; one that replaces the file that is gone on with may."""
    if checkpoint is not None and not isinstance(checkpoint, Checkpoint):
        checkpoint = Checkpoint(checkpoint)
    if resume is not None:
        checks.path("run file", resume)
    for observer in observers if checkpoint or resume else ():
        if not hasattr(observer, "keeps"):
            raise Error(
                f"a run with the observer {type(observer).__name__} cannot be kept and gone on with: it does not say "
                "with `keeps` which of its attributes hold what it has seen"
            )
    if checkpoint:
        check_target(checkpoint.path, overwrite=checkpoint.overwrite or same_file(checkpoint.path, resume))
    return checkpoint


def same_file(path: str | Path, other: str | Path | None) -> bool:
    """Whether two paths lead to one file."""
    with suppress(OSError, ValueError):
        return other is not None and Path(path).resolve() == Path(other).resolve()
    return False


# --- state ------------------------------------------------------------------------------------------------


def _kept(part: Any) -> tuple[str, ...] | None:
    """Attributes of a part in which it stands somewhere, if any: all of a dataclass's that does not say. None of what
    is no part."""
    if hasattr(part, "keeps"):
        return tuple(part.keeps)
    return tuple(field.name for field in fields(part)) if is_dataclass(part) and not isinstance(part, type) else None


def _taken(value: Any) -> Any:
    """A copy on the host that nobody else writes into."""
    if (names := _kept(value)) is not None:
        return {name: _taken(getattr(value, name)) for name in names}
    if isinstance(value, Mapping):
        return {name: _taken(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_taken(each) for each in value]
    if hasattr(value, "get"):
        return value.get()
    return np.array(value) if isinstance(value, np.ndarray) else value


def _restored(now: Any, kept: Any, xp: Any) -> Any:
    """What was kept, as what is there now has it: in its attributes, on the device."""
    if (names := _kept(now)) is not None:
        for name in names:
            setattr(now, name, _restored(getattr(now, name), kept[name], xp))
        return now
    if isinstance(kept, Mapping):
        before = now if isinstance(now, Mapping) else {}
        return {name: _restored(before.get(name), each, xp) for name, each in kept.items()}
    if isinstance(kept, list):
        return [_restored(None, each, xp) for each in kept]
    return xp.asarray(kept) if hasattr(now, "get") else kept


# --- what a run is of -------------------------------------------------------------------------------------


def case_of(
    plan: Plan,
    request: Request,
    inputs: Mapping[str, Any],
    initial: Any,
    stop: float,
    observed: Mapping[str, Any],
) -> dict[str, Any]:
    """What a run must have in common with one that it goes on with. observed: its observers, by name."""
    circuit, backend = plan.circuit, plan.backend
    sampled = {
        name: v.at(np.linspace(0, stop, 257)) if hasattr(v, "at") else backend.host(v) for name, v in inputs.items()
    }
    options = {
        name: np.asarray(v).tolist() if name == "elements" and v is not None else v for name, v in vars(request).items()
    }
    options |= {f"{n}.{key}": v for n, each in observed.items() for key, v in getattr(each, "asked", {}).items()}
    found = {
        "circuit": digest((circuit.temperature, circuit.arrays, circuit.terms)),
        "inputs": digest(sampled),
        "initial values": digest(initial),
        "options": options | {"device": backend.device, "precision": backend.precision},
    }
    plain: dict[str, Any] = json.loads(json.dumps(found))
    return plain


def check_case(path: str | Path, made: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    """Raises Error that names what is different: an option of either side, or what only has a fingerprint."""
    before, now = made["options"], asked["options"]
    for name in {**now, **before}:  # one that is None is left out
        there, here = before.get(name), now.get(name)
        if here is None and there is not None:
            raise Error(f"run file {path} was made with {name}={shown(there)}, not without it: give the same")
        if there is None and here is not None:
            raise Error(f"run file {path} was made without {name}, not with {name}={shown(here)}: leave it out")
        if there != here:
            raise Error(f"run file {path} was made with {name}={shown(there)}, not {shown(here)}: use the same")
    for what in {**asked, **made}:
        if what != "options" and made.get(what) != asked.get(what):
            there, here = (str(each.get(what, "none"))[:8] for each in (made, asked))
            raise Error(f"run file {path} is of another run ({what}), fingerprint {there}, not {here}: name its own")


def digest(value: Any) -> str:
    """A fingerprint of numbers, and of whatever holds them."""
    found = hashlib.blake2b(digest_size=16)
    _feed(found, value)
    return found.hexdigest()


def _feed(into: Any, value: Any) -> None:
    """Numbers of arrays, fields of dataclasses, everything else as it is written."""
    if isinstance(value, np.ndarray):
        into.update(f"{value.dtype} {value.shape}".encode())
        into.update(np.ascontiguousarray(value).data.cast("B") if value.size else b"")
    elif is_dataclass(value) and not isinstance(value, type):
        into.update(type(value).__name__.encode())
        for field in fields(value):
            _feed(into, getattr(value, field.name))
    elif isinstance(value, Mapping):
        for name, each in value.items():
            _feed(into, (name, each))
    elif isinstance(value, list | tuple):
        for each in value:
            _feed(into, each)
    else:
        into.update(repr(value).encode() + b"\0")
