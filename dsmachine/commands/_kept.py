"""What `dsmachine info` says of files that hold no run: a device card, a training, a sweep."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import h5py

from ..circuits.words import counted
from ._common import results_console, write_json


def show_kept(path: str, as_json: bool) -> bool:
    """Say what a file holds if it is one of these; whether it was. Raises Error for a damaged one."""
    from ..emulator.runfile import format_of
    from ..emulator.training_file import FORMAT as TRAINING
    from ..netlists.device_file import is_device_card
    from ..sweeps.file import FORMAT as SWEEP

    kind = format_of(path)
    reader = {TRAINING: _training, SWEEP: _sweep}.get(kind)
    if reader is None and not kind and is_device_card(path):
        reader = _card
    if reader is None:
        return False
    rows, facts = reader(path)
    if as_json:
        write_json(facts)
        return True
    for name, text in rows.items():
        results_console().print(f"{name:<12} {text}", soft_wrap=True)
    return True


def _card(path: str) -> tuple[Mapping[str, str], dict[str, Any]]:
    from ..netlists.device_file import load_device
    from .characterize import card_facts, card_lines

    card = load_device(path)
    return {"file": "a device card, for --device-card", **card_lines(card)}, {"file": "device card", **card_facts(card)}


def _training(path: str) -> tuple[Mapping[str, str], dict[str, Any]]:
    from ..emulator import hdf5
    from ..emulator.runfile import opened
    from ..emulator.training_file import FORMAT, FORMAT_VERSION

    def read(file: h5py.File) -> dict[str, Any]:
        about = hdf5.get_json(file, "about")
        weights = hdf5.get_each(file, "weights")
        loss = hdf5.get(file, "loss").reshape(-1).tolist()
        return {
            "file": "training", "model": about["model"], "command": list(about["command"]),
            "written": bytes(file.attrs["written"]).decode(), "versions": dict(about["versions"]),
            "steps": len(loss), "loss": loss, "terms": len(weights), "weights": sum(w.size for w in weights.values()),
        }  # fmt: skip

    facts: dict[str, Any] = opened(path, read, FORMAT, FORMAT_VERSION)
    loss = facts["loss"]
    rows = {
        "file": f"a training of {facts['model']}, written {facts['written']}; --resume goes on with it",
        "versions": ", ".join(f"{name} {number}" for name, number in facts["versions"].items()),
        "learnt": f"{counted(facts['steps'], 'step')}, {counted(facts['weights'], 'weight')} "
        f"in {counted(facts['terms'], 'term')}",
    }
    return rows | ({"loss": f"{loss[0]:.4g} to {loss[-1]:.4g} nat a token"} if loss else {}), facts


def _sweep(path: str) -> tuple[Mapping[str, str], dict[str, Any]]:
    from ..sweeps.file import load_sweep

    found = load_sweep(path)
    points = " × ".join(f"{name} {len(values)}" for name, values in found.grid.dimensions.items())
    rows = {"file": f"a sweep of {found.model}", "points": points, "metrics": ", ".join(found.values)}
    lost = sum(found.missing.values())
    return rows | ({"missing": counted(lost, "value")} if lost else {}), {"file": "sweep", **found.summary()}
