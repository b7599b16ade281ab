"""Training files: as far as a chip has learnt, whole after every step, in one HDF5 file.

    loss, accuracy          of each step, [nat] and as a share
    weights/NAME            programmed values of each term, in logical units, in the type that they are learnt in
    state                   steps, the optimizer's memory, what the training is of, what was measured at its beginning
    about          json     versions, and what the caller says of it

Attributes of the file: format, format_version, written (ISO 8601). Written whole (`files.py`), so that a killed
process loses the step that it was at.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ..circuits.errors import Error
from . import hdf5
from .files import written_whole
from .runfile import opened, versions

Array = Any
FORMAT = "dsmachine training"
FORMAT_VERSION = 3  # 3: all settings that change what is learnt are in it, those at their defaults too


def save_training(path: str | Path, state: Mapping[str, Any], about: Mapping[str, Any], *, overwrite: bool) -> None:
    """Write a file; state: with "loss", "accuracy", "weights" and whatever else it takes to go on.

    Raises Error for an existing file without `overwrite`, and for a folder that takes no file.
    """

    def fill(file: h5py.File) -> None:
        rest = dict(state)
        file.attrs["format"], file.attrs["format_version"] = np.bytes_(FORMAT), FORMAT_VERSION
        file.attrs["written"] = np.bytes_(datetime.now(UTC).isoformat(timespec="seconds"))
        hdf5.put(file, "loss", np.array(rest.pop("loss"), float), "nat")
        hdf5.put(file, "accuracy", np.array(rest.pop("accuracy"), float), "1")
        hdf5.put_each(file, "weights", rest.pop("weights"), "1")
        hdf5.put_tree(file, "state", rest)
        hdf5.put_json(file, "about", {**about, "versions": versions()})

    with written_whole(path, overwrite=overwrite) as part:
        part.write_bytes(hdf5.image(fill))


def load_training(path: str | Path) -> dict[str, Any]:
    """The state that `save_training` was given.

    Raises Error for a file that is missing, no training, of another format than this, truncated or damaged.
    """

    def read(file: h5py.File) -> dict[str, Any]:
        if (version := int(file.attrs["format_version"])) < FORMAT_VERSION:
            raise Error(f"{path} is format {version}, this dsmachine reads {FORMAT_VERSION}: train again")
        each = {name: hdf5.get(file, name).tolist() for name in ("loss", "accuracy")}
        return {**hdf5.get_tree(file, "state"), **each, "weights": hdf5.get_each(file, "weights")}

    found: dict[str, Any] = opened(path, read, FORMAT, FORMAT_VERSION)
    return found
