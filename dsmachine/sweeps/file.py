"""Files of sweeps: HDF5 in netCDF4's conventions, so `xarray.open_dataset(path, engine="h5netcdf")` opens them.

each axis, chip, noise_seed      dimension scales; words where an axis has any
METRIC                           (…axes, chip, noise_seed), attributes units and long_name
METRIC_mean, METRIC_deviation    (…axes);   METRIC_yield, attribute limit
attributes                       format, format_version, written, about (JSON)
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ..circuits import checks
from ..circuits.errors import Error
from ..circuits.quantities import listed
from ..emulator import hdf5
from ..emulator.files import check_target, written_whole
from ..emulator.runfile import opened
from .grid import CHIP, NOISE_SEED, Grid, unit_of
from .metrics import METRICS
from .parameters import parameter
from .result import Swept

Array = Any
FORMAT, FORMAT_VERSION = "dsmachine sweep", 1


def save_sweep(found: Swept, path: str | Path, *, overwrite: bool = False) -> None:
    """Write a sweep whole. Raises Error for an existing file without `overwrite`, and a folder that takes no file."""
    with written_whole(path, overwrite=overwrite) as part:
        part.write_bytes(hdf5.image(lambda file: _write(file, found)))


def _write(file: h5py.File, found: Swept) -> None:
    about = {
        "model": found.model, "axes": dict(found.axes), "settings": dict(found.grid.settings), "limits": found.limits,
        "failed": found.failed, **found.about,
    }  # fmt: skip
    file.attrs["format"], file.attrs["format_version"] = np.bytes_(FORMAT), FORMAT_VERSION
    file.attrs["written"] = datetime.now(UTC).isoformat(timespec="seconds")
    file.attrs["about"] = json.dumps(about)
    for name, values in found.grid.dimensions.items():
        scale = file.create_dataset(name, data=_labels(values))
        scale.make_scale(name)
        scale.attrs["units"] = unit_of(name)
    axes, everything = tuple(found.axes), found.dimensions
    for name, values in found.values.items():
        what, unit = METRICS[name].meaning, METRICS[name].unit
        _put(file, name, values, everything, unit, what)
        _put(file, f"{name}_mean", found.mean(name), axes, unit, f"{what}, mean over chips")
        _put(file, f"{name}_deviation", found.deviation(name), axes, unit, f"{what}, deviation over chips")
        if name in found.limits:
            own = _put(file, f"{name}_yield", found.yield_at(name), axes, "1", f"share of chips within {name}'s limit")
            own.attrs["limit"] = found.limits[name]


def _labels(values: list[Any]) -> Array:
    """Numbers, or words where there is one."""
    if all(isinstance(value, int | float) for value in values):
        return np.array(values, float if any(isinstance(v, float) for v in values) else np.int64)
    return np.array([_said(value) for value in values], h5py.string_dtype())


def _said(value: Any) -> str:
    return "none" if value is None else value if isinstance(value, str) else f"{value:.15g}"


def _put(file: h5py.File, name: str, values: Array, dimensions: tuple[str, ...], unit: str, meaning: str) -> Any:
    dataset = file.create_dataset(name, data=values, fillvalue=np.nan)
    for k, dimension in enumerate(dimensions):
        dataset.dims[k].attach_scale(file[dimension])
    dataset.attrs["units"], dataset.attrs["long_name"] = unit, meaning
    return dataset


# --- reading --------------------------------------------------------------------------------------


def load_sweep(path: str | Path) -> Swept:
    """Reopen the file of a sweep. Raises Error for one that is missing, not of a sweep, newer, or damaged."""
    found: Swept = opened(path, _read, FORMAT, FORMAT_VERSION)
    return found


def _read(file: h5py.File) -> Swept:
    about = json.loads(file.attrs["about"])
    chips, noise_seeds = (tuple(hdf5.get(file, name).tolist()) for name in (CHIP, NOISE_SEED))
    grid = Grid(about.pop("axes"), chips, noise_seeds, about.pop("settings"))
    model, limits, failed = (about.pop(name) for name in ("model", "limits", "failed"))
    values = {name: hdf5.get(file, name) for name in METRICS if name in file}
    if any(each.shape != grid.shape for each in values.values()):
        raise hdf5.Damaged("its arrays have other shapes than its axes")
    return Swept(grid, values, limits, model, about, [(str(error), int(count)) for error, count in failed])


def check_output(path: str | Path, wanted: Swept, *, overwrite: bool) -> None:
    """Raises Error if a sweep cannot be written there: for a file that holds anything which this sweep will not."""
    if overwrite or not checks.path("output", path).exists():
        check_target(path, overwrite=overwrite)
        return
    kept = load_sweep(path)
    other = _difference(kept, wanted)
    if other:
        raise Error(f"output {path} is of another sweep ({other}): name another file, or give --overwrite")
    check_target(path, overwrite=True)


def _difference(kept: Swept, wanted: Swept) -> str:
    """What a file holds that a sweep will not, with both values; "" if nothing."""
    for what, first, second in _facts(kept, wanted):
        if first != second:
            return f"{what}: {first} there, {second} here"
    for name, values in kept.grid.dimensions.items():
        here = wanted.grid.dimensions[name]
        lost = [value for value in values if value not in here]
        if lost:
            return f"{name}: {_said(lost[0])} there, {listed([_said(value) for value in here])} here"
    if any(name not in wanted.values for name in kept.values):
        return f"metrics: {', '.join(kept.values)} there, {', '.join(wanted.values)} here"
    for name, limit in kept.limits.items():  # of the yields in the file
        if wanted.limits.get(name) != limit:
            return f"limit of {name}: {_said(limit)} there, {_said(wanted.limits.get(name))} here"
    return ""


def _facts(kept: Swept, wanted: Swept) -> Iterator[tuple[str, str, str]]:
    """(what, there, here) of whatever both have one value of."""
    yield "windows", str(kept.about["windows"]), str(wanted.about["windows"])  # which is in the fingerprint of a text
    for what in ("model", "text"):
        prints = [str(each.about["fingerprints"][what]) for each in (kept, wanted)]
        if prints[0] != prints[1]:  # its name may be another
            named = [str(each.model if what == "model" else each.about["text"]) for each in (kept, wanted)]
            there, here = named if named[0] != named[1] else [f"fingerprint {each[:8]}" for each in prints]
            yield what, there, here
    yield "axes", ", ".join(kept.axes) or "none", ", ".join(wanted.axes) or "none"
    for name in {**kept.grid.settings, **wanted.grid.settings}:
        own = parameter(name).default
        given = [grid.settings.get(name, own) for grid in (kept.grid, wanted.grid)]
        there, here = ("its default" if value == own else _said(value) for value in given)
        yield name, there, here


__all__ = ["load_sweep", "save_sweep"]
