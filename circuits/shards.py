"""Tensors of a checkpoint in several safetensors files, listed in ``model.safetensors.index.json``.

The index gives every tensor's file. File names are untrusted: only names of files in the index's own folder are opened.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from .encodings import Bytes, Encoding
from .errors import Error, place, shown
from .metadata import read_json
from .tensorfile import TensorFile
from .tensors import FIX, TensorSource

INDEX = "model.safetensors.index.json"
MAX_FILES = 1000


class Shards(TensorSource):
    """The tensors that an index lists; `Error` when it is malformed or a file does not hold what it should."""

    def __init__(self, path: Path) -> None:
        self.path = path
        table = read_json(path).part("weight_map")
        if table is None or not table.values:
            raise Error(f"{place(path)} has no weight_map, which lists tensors and their files: {FIX}")
        names = table.values
        files = {name: _file(path, name) for name in dict.fromkeys(map(str, names.values()))}
        if len(files) > MAX_FILES:
            raise Error(f"{place(path)} lists {len(files)} files, at most {MAX_FILES} are opened: save larger ones")
        opened = {name: TensorFile(file) for name, file in files.items()}
        self._holder = {name: opened[str(file)] for name, file in names.items()}
        for name, file in self._holder.items():
            if name not in file:
                raise Error(f"tensor {shown(name)} is missing in {place(file.path)}, where {path.name} puts it: {FIX}")

    def __iter__(self) -> Iterator[str]:
        return iter(self._holder)

    def __len__(self) -> int:
        return len(self._holder)

    def shape(self, name: str) -> tuple[int, ...]:
        return self._holder[name].shape(name)

    def encoding(self, name: str) -> Encoding:
        return self._holder[name].encoding(name)

    def raw(self, name: str) -> Bytes:
        return self._holder[name].raw(name)


def _file(index: Path, name: str) -> Path:
    """The shard beside the index; `Error` for any other place."""
    if not name.endswith(".safetensors") or "/" in name or "\\" in name or not name.isprintable() or len(name) > 255:
        raise Error(f"{place(index)} lists the file {shown(name)}: it must be a .safetensors file in the same folder")
    return index.parent / name
