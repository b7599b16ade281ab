"""Device cards in HDF5 files: all that was measured, the factors, and where they come from."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ..circuits import checks
from ..circuits.devices.branch_card import LAWS, BranchCard
from ..circuits.devices.card import UNITS, DeviceCard, Origin
from ..circuits.devices.cell_card import CELLS, CellCard
from ..circuits.devices.feedback_card import FeedbackCard
from ..circuits.devices.lag import Lag
from ..circuits.devices.transit_card import TransitCard
from ..circuits.errors import Error, place
from ..emulator import hdf5
from ..emulator.files import check_target, written_whole

KIND, VERSION = "dsmachine device card", 4
NUMBERS = {
    "width": "m", "length": "m", "common_mode": "V", "vdd": "V", "temperature": "K", "full_scale": "V",
    "reach": "V", "error": "1", "bias": "V",
}  # fmt: skip
ARRAYS = {"gates": "V", "volts": "V", "surface": "A", "table": "A", "coefficients": "1/V^n"}
BRANCH_ARRAYS = {"gate": "1/V^n", "bend": "1", "mirror": "1", "sink": "1", "error": "1", "tail": "s"}
FEEDBACK_ARRAYS = {"gates": "V", "volts": "V", "surface": "A", "charge": "C", "pushed": "F", "body": "1"}
TRANSIT_ARRAYS = {"gates": "V", "siemens": "S", "farads": "F"}
PARTS = ("even", "pair")
CELL = "cell "  # before the name of a cell's group
LATE = ("tanh", "softmax")  # cells whose mirrors' lag is known
CELL_ARRAYS = {"ideal": "1", "measured": "1", "coefficients": "1", "error": "1", "largest": "A"}
FIX = "characterize again"


def save_device(card: DeviceCard, path: str | Path, *, overwrite: bool = False) -> None:
    """Writes a card, whole or not at all.

    Raises Error for a path that cannot be written, or a file that is there already.
    """
    checks.made("card", card, DeviceCard, "give what characterize or load_device returns")
    check_target(path, overwrite=overwrite)

    def fill(file: h5py.File) -> None:
        file.attrs["kind"], file.attrs["format_version"] = KIND, VERSION
        _put(hdf5.group(file, "card"), card)

    with written_whole(path, overwrite=overwrite) as part:
        part.write_bytes(hdf5.image(fill))


def _put(group: h5py.Group, card: DeviceCard) -> None:
    hdf5.put_json(group, "about", {"unit": card.unit, "origin": dataclasses.asdict(card.origin)})
    for name, unit in {**NUMBERS, **ARRAYS}.items():
        hdf5.put(group, name, getattr(card, name), unit)
    for name in PARTS:
        part = getattr(card, name)
        if part is not None:
            _put(hdf5.group(group, name), part)
    for name, cell in card.cells.items():
        own = hdf5.group(group, f"{CELL}{name}")
        for what, unit in _arrays_of(name).items():
            hdf5.put(own, what, getattr(cell, what), unit)
        if name in LATE:
            hdf5.put(own, "lag", cell.lag.seconds, "s")
            hdf5.put(own, "lag error", cell.lag.error, "1")


def load_device(path: str | Path) -> DeviceCard:
    """The card of a file that `save_device` or `dsmachine characterize` wrote.

    Raises Error, in one line, for a file that is none, is damaged, or holds numbers that make no card.
    """
    where = f"device card {place(checks.path('device card', path))}"
    try:
        with hdf5.open_to_read(Path(path)) as file:
            _check_kind(file, where)
            card = _card(hdf5.member(file, "card", h5py.Group), PARTS)
        card.control(0.0)  # whose conductance does not rise is no card
        return card
    except Error as problem:
        raise Error(str(problem) if str(problem).startswith(where) else f"{where}: {problem}") from None
    except FileNotFoundError:
        raise Error(f"{where} does not exist: check the path") from None
    except IsADirectoryError:
        raise Error(f"{where} is a folder: name a file in it") from None
    except Exception as problem:  # a damaged file may raise anything: h5py has no exception of its own
        if not h5py.is_hdf5(path):
            raise Error(f"{where} is not HDF5: name a file that dsmachine characterize wrote") from None
        reason = (str(problem).splitlines() or ["unreadable"])[0][:120]
        raise Error(f"{where} is damaged ({reason}): {FIX}") from None


def is_device_card(path: str | Path) -> bool:
    """Whether an HDF5 file says that it is one, of whatever version."""
    with hdf5.open_to_read(Path(path)) as file:
        found = file.attrs.get("kind")
    return isinstance(found, str) and found == KIND


def _check_kind(file: h5py.File, where: str) -> None:
    if file.attrs.get("kind") != KIND:
        raise Error(f"{where} is not a device card: name a file that dsmachine characterize wrote")
    version = int(file.attrs["format_version"])
    if version > VERSION:
        raise Error(f"{where} has format {version}, newer than {VERSION}: upgrade dsmachine")
    if version < VERSION:
        old = ("which counts a pair's current twice", "whose cells know no lags", "whose feedback knows no charge")
        raise Error(f"{where} has format {version}, {old[max(version, 1) - 1]}: {FIX}")


def _card(group: h5py.Group, parts: tuple[str, ...]) -> DeviceCard:
    """One card; `parts`: which cards it may hold in turn, so that no file goes deep."""
    about: Any = hdf5.get_json(group, "about")
    if about["unit"] not in UNITS:
        raise hdf5.Damaged(f"unit {str(about['unit'])[:20]!r}")
    origin = Origin(**about["origin"])
    if not all(isinstance(getattr(origin, f.name), str) for f in dataclasses.fields(Origin) if f.name != "tolerance"):
        raise hdf5.Damaged("origin is not text")
    held: dict[str, Any] = {name: _number(name, hdf5.get(group, name)) for name in NUMBERS}
    held |= {name: np.asarray(hdf5.get(group, name), np.float64) for name in ARRAYS}
    held |= {
        name: _card(hdf5.member(group, name, h5py.Group), ("even",) if name == "pair" else ())
        for name in parts
        if name in group
    }
    cells = {
        name: _cell(name, hdf5.member(group, CELL + name, h5py.Group))
        for name in (*CELLS, "softmax", "transit", "feedback")
        if CELL + name in group
    }
    return DeviceCard(unit=about["unit"], origin=origin, cells=cells, **held)


def _arrays_of(cell: str) -> dict[str, str]:
    kinds = {"softmax": BRANCH_ARRAYS, "transit": TRANSIT_ARRAYS, "feedback": FEEDBACK_ARRAYS}
    return kinds.get(cell, CELL_ARRAYS)


def _cell(name: str, group: h5py.Group) -> CellCard | BranchCard | TransitCard | FeedbackCard:
    if name in ("transit", "feedback"):
        kind: Any = TransitCard if name == "transit" else FeedbackCard
        return kind(*(np.asarray(hdf5.get(group, what), np.float64) for what in _arrays_of(name)))  # type: ignore[no-any-return]
    lag = None
    if name in LATE:
        lag = Lag(np.asarray(hdf5.get(group, "lag"), np.float64), _number("error", hdf5.get(group, "lag error")))
    if name == "softmax":
        assert lag is not None
        laws = {what: np.asarray(hdf5.get(group, what), np.float64) for what in (*LAWS, "tail")}
        return BranchCard(**laws, error=_number("error", hdf5.get(group, "error")), lag=lag)
    ideal, measured, coefficients = (
        np.asarray(hdf5.get(group, what), np.float64) for what in ("ideal", "measured", "coefficients")
    )
    error, largest = (_number(what, hdf5.get(group, what)) for what in ("error", "largest"))
    return CellCard(name, ideal, measured, coefficients, error, largest, lag)


def _number(name: str, value: Any) -> float:
    found = float(np.asarray(value).reshape(-1)[0])
    least = 0.0 if name in ("bias", "error") else 1e-12
    if not np.isfinite(found) or found < least:
        raise hdf5.Damaged(f"{name!r} is {found!r}")
    return found
