"""HDF5 as run files use it: checksummed numbers with their unit, JSON texts, small tables.

Every dataset carries the attribute `units` and, where it holds anything, a Fletcher-32 sum; the 1.10 format sums its
own structures. So damage is found before it can be believed. Links and external storage are not followed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import h5py
import numpy as np

Array = Any
FORMAT = ("v110", "v110")
SMALL = 512  # bytes under which compressing does not pay
PLAIN = "fiubS"  # kinds of NumPy types that a run file may hold
EXPANSION = 1100  # more than gzip can expand; a file that claims more is damaged
KEPT = " !\"#$&'()*+,-.:;<=>?@[\\]^_`{|}~"


class Damaged(Exception):
    """What a file should hold is missing, or is not what it should be."""


def image(fill: Callable[[h5py.File], None]) -> bytes:
    """The bytes of a new file that `fill` has filled, made in memory: HDF5 does not survive a disk that fills up."""
    with h5py.File("image", "w", driver="core", backing_store=False, libver=FORMAT) as file:
        fill(file)
        file.flush()
        return bytes(file.id.get_file_image())


def open_to_read(path: Path) -> h5py.File:
    """A file that nobody writes to any more."""
    return h5py.File(path, "r", locking=False)


# --- names ----------------------------------------------------------------------------------------


def quoted(name: str) -> str:
    """A name of any characters as one HDF5 link name: "/" becomes %2F."""
    text = quote(name, safe=KEPT, errors="surrogatepass")
    return {"": "%", ".": "%2E", "..": "%2E%2E"}.get(text, text)


def unquoted(text: str) -> str:
    """What `quoted` was given."""
    return "" if text == "%" else unquote(text, errors="surrogatepass")


# --- writing --------------------------------------------------------------------------------------


def group(parent: h5py.Group, name: str) -> h5py.Group:
    """A new group that remembers the order of its members."""
    return parent.create_group(quoted(name), track_order=True)


def put(parent: h5py.Group, name: str, values: Array, unit: str) -> h5py.Dataset:
    """Numbers (or bytes) with their unit; a scalar becomes one element."""
    data = np.atleast_1d(np.asarray(values))
    if data.dtype.kind not in PLAIN:
        raise TypeError(f"{name!r} holds {data.dtype}, not numbers")
    options: dict[str, Any] = {"fletcher32": True} if data.size else {}
    if data.nbytes > SMALL:
        options |= {"compression": "gzip", "compression_opts": 1, "shuffle": True}
    dataset = parent.create_dataset(quoted(name), data=data, **options)
    dataset.attrs["units"] = np.bytes_(unit.encode())
    return dataset


def put_json(parent: h5py.Group, name: str, value: Any) -> None:
    """Anything that JSON can say; NumPy as numbers and lists. NaN is kept, as Python's JSON writes it."""
    put(parent, name, np.bytes_(json.dumps(value, default=_plain)), "json")


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, set | frozenset):
        return sorted(value)
    raise TypeError(f"a {type(value).__name__} has no form in a run file")


def put_table(parent: h5py.Group, name: str, rows: Mapping[str, Any], unit: str) -> None:
    """{name: number} as two columns, `name` and `value`."""
    table = group(parent, name)
    put(table, "name", np.array([quoted(n).encode() for n in rows], "S") if rows else np.zeros(0, "S1"), "text")
    put(table, "value", np.array(list(rows.values())) if rows else np.zeros(0), unit)


def put_each(parent: h5py.Group, name: str, arrays: Mapping[str, Any], unit: str) -> None:
    """{name: array} as a group of datasets."""
    inside = group(parent, name)
    for key, values in arrays.items():
        put(inside, key, values, unit)


def put_tree(parent: h5py.Group, name: str, value: Any) -> None:
    """Dicts and lists, one in another, of arrays and of what JSON can say; arrays as datasets of their own."""
    inside = group(parent, name)
    arrays: list[Array] = []
    put_json(inside, "tree", _pruned(value, arrays))
    for k, each in enumerate(arrays):
        put(inside, str(k), each, "1")


def _pruned(value: Any, arrays: list[Array]) -> Any:
    """A tree with [number, shape] of its arrays instead of them; lists and dicts say what they are."""
    if isinstance(value, np.ndarray | np.generic):
        arrays.append(np.asarray(value))
        return {"array": len(arrays) - 1, "shape": np.shape(value)}
    if isinstance(value, Mapping):
        return {"dict": {key: _pruned(each, arrays) for key, each in value.items()}}
    if isinstance(value, list | tuple):
        return {"list": [_pruned(each, arrays) for each in value]}
    return {"is": value}


# --- reading --------------------------------------------------------------------------------------


def member(parent: h5py.Group, name: str, kind: type) -> Any:
    """What stands under a name, if it is of the kind and really in this file."""
    key = quoted(name)
    if not isinstance(parent.get(key, getlink=True), h5py.HardLink):
        raise Damaged(f"{name!r} is missing")
    found = parent[key]
    if not isinstance(found, kind):
        raise Damaged(f"{name!r} is not a {kind.__name__.lower()}")
    return found


def members(parent: h5py.Group, kind: type) -> Iterator[tuple[str, Any]]:
    """(name, member) of a group in the order of writing."""
    for key in parent:
        name = unquoted(key)
        yield name, member(parent, name, kind)


def get(parent: h5py.Group, name: str) -> Array:
    """Numbers or bytes under a name."""
    return numbers(member(parent, name, h5py.Dataset))


def numbers(dataset: h5py.Dataset) -> Array:
    """All of a dataset, if it is plain and no larger than its file can hold."""
    if dataset.dtype.kind not in PLAIN or dataset.is_virtual or dataset.external:
        raise Damaged(f"{dataset.name!r} does not hold plain numbers")
    if dataset.size * dataset.dtype.itemsize > EXPANSION * dataset.file.id.get_filesize():
        raise Damaged(f"{dataset.name!r} claims {dataset.size} values")
    return dataset[()]


def unit_of(dataset: h5py.Dataset) -> str:
    """The attribute `units`."""
    return bytes(dataset.attrs["units"]).decode()


def get_json(parent: h5py.Group, name: str) -> Any:
    """What `put_json` was given."""
    return json.loads(bytes(get(parent, name)[0]).decode())


def get_table(parent: h5py.Group, name: str) -> dict[str, Any]:
    """What `put_table` was given."""
    table = member(parent, name, h5py.Group)
    names = [unquoted(bytes(n).decode()) for n in get(table, "name")]
    return dict(zip(names, get(table, "value").tolist(), strict=True))


def get_each(parent: h5py.Group, name: str) -> dict[str, Array]:
    """What `put_each` was given."""
    return {key: numbers(d) for key, d in members(member(parent, name, h5py.Group), h5py.Dataset)}


def get_tree(parent: h5py.Group, name: str) -> Any:
    """What `put_tree` was given, tuples as lists."""
    inside = member(parent, name, h5py.Group)
    return _grown(get_json(inside, "tree"), inside)


def _grown(value: Any, inside: h5py.Group) -> Any:
    if "array" in value:
        return get(inside, str(value["array"])).reshape(value["shape"])
    if "dict" in value:
        return {key: _grown(each, inside) for key, each in value["dict"].items()}
    return [_grown(each, inside) for each in value["list"]] if "list" in value else value["is"]
