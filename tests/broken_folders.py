"""Model folders with something wrong in them, and the one line with which each is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gpt2_folders import SHAPES, random_tensors
from safetensors.numpy import save_file

from dsmachine.circuits.checkpoints import load_model
from dsmachine.circuits.errors import Error

CONFIG = SHAPES[0]  # 1 layer, width 8, 2 heads, context 8, 12 characters: a … l
WEIGHTS = "model.safetensors"


def refused(path: object, *words: str) -> str:
    """The one line with which a model is refused; it holds all `words`."""
    with pytest.raises(Error) as caught:
        load_model(path)  # type: ignore[arg-type]
    line = str(caught.value)
    assert "\n" not in line
    for word in words:
        assert word in line
    return line


def edit_config(folder: Path, **changes: object) -> None:
    table = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(table | changes))


def write_tensors(folder: Path, **changes: Any) -> None:
    """Write the weights with some replaced (array) or left out (None); `__` stands for a dot."""
    tensors: dict[str, Any] = random_tensors(CONFIG, 0)
    for name, value in changes.items():
        tensors[name.replace("__", ".")] = value
    kept = {name: t for name, t in tensors.items() if t is not None}
    save_file(kept, str(folder / WEIGHTS))


def edit_header(folder: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    """Apply `edit` to the safetensors header; the bytes of the tensors stay."""
    data = (folder / WEIGHTS).read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    edit(header)
    text = json.dumps(header).encode()
    (folder / WEIGHTS).write_bytes(len(text).to_bytes(8, "little") + text + data[8 + length :])
