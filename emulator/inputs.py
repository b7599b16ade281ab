"""What a run prescribes: inputs and starting values, checked against the circuit before any work is done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..circuits import checks
from ..circuits.circuit import Circuit
from ..circuits.errors import Error, shown
from ..circuits.named import meant
from ..circuits.waveforms import Waveform
from .backend import Backend

Array = Any


@dataclass(frozen=True)
class InputWaveform:
    """A checked waveform: values always have their batch axis, (K, batch, *shape)."""

    waveform: Waveform
    shape: tuple[int, ...]
    batch: int

    @property
    def breakpoints(self) -> Array:
        return np.asarray(getattr(self.waveform, "breakpoints", np.zeros(0)), float)

    def at(self, times: Array) -> Array:
        found = np.asarray(self.waveform.at(times))
        return found[:, None] if found.ndim == len(self.shape) + 1 else found


def checked_inputs(circuit: Circuit, backend: Backend, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Each clamped array's value as (batch, *shape) on the backend; what has `.at` as `InputWaveform`."""
    if not isinstance(inputs, Mapping):
        raise Error(f"inputs are {shown(inputs)}: pass a mapping, such as inputs={{{_first(circuit)!r}: values}}")
    wanted = {node.name for node in circuit.inputs()}
    for name in inputs:
        if name not in wanted:
            raise Error(f"input {name!r} is not a clamped array of {circuit.name!r}: {meant(name, sorted(wanted))}")
    for name in sorted(wanted - set(inputs)):
        raise Error(f"input {name!r} of {circuit.name!r} has no value: pass inputs={{{name!r}: …}}")
    values: dict[str, Any] = {}
    for name, value in inputs.items():
        shape = circuit.arrays[name].shape
        driven = hasattr(value, "at")
        values[name] = _driven(value, shape, name) if driven else _batched(backend, value, shape, f"input {name!r}")
    batch = {_batch(v) for v in values.values()} - {1}
    if len(batch) > 1:
        raise Error(f"inputs have different batch lengths {sorted(batch)}: give all the same, or 1")
    return values


def _first(circuit: Circuit) -> str:
    return next((node.name for node in circuit.inputs()), "u")


def _driven(value: Any, shape: tuple[int, ...], name: str) -> InputWaveform:
    if isinstance(value, InputWaveform):
        return value
    found = np.shape(value.at(np.zeros(1)))
    if found[1:] != shape and found[2:] != shape:
        raise Error(f"waveform of input {name!r} has values of shape {found[1:]}: expected {shape}, or a batch of it")
    return InputWaveform(value, shape, batch=found[1] if len(found) == len(shape) + 2 else 1)


def _batch(value: Any) -> int:
    return value.batch if isinstance(value, InputWaveform) else len(value)


def _batched(backend: Backend, value: Any, shape: tuple[int, ...], what: str) -> Array:
    on_device = hasattr(value, "get") and backend.kind != "numpy"
    array = backend.brought(value) if on_device else np.asarray(backend.host(value))
    if array.shape == shape:
        array = array[None]
    if array.shape[1:] != shape:
        raise Error(f"{what} has shape {array.shape}: expected {shape} or (batch, {', '.join(map(str, shape))})")
    checks.values(what, array)
    return backend.array(array)


def input_at(backend: Backend, value: Any, shape: tuple[int, ...], times: Array, batch: int) -> Array:
    """A checked input at times: (len(times), batch, *shape). B < batch values repeat: row s·B + b is value b."""
    found = backend.array(value.at(times)) if isinstance(value, InputWaveform) else value[None]
    repeats = batch // found.shape[1]
    if found.shape[1] > 1 and repeats > 1:
        found = backend.xp.concatenate([found] * repeats, axis=1)
    return backend.xp.broadcast_to(found, (len(times), batch, *shape))


def batch_size(values: Mapping[str, Any], initial: Mapping[str, Any]) -> int:
    """Common batch length of inputs and starting values."""
    sizes = {_batch(v) for v in values.values()} | {len(v) for v in initial.values()}
    if len(sizes - {1}) > 1:
        raise Error(f"inputs and initial values have batch lengths {sorted(sizes)}: give all the same, or 1")
    return max(sizes, default=1)


def starting_values(
    circuit: Circuit, backend: Backend, initial: Mapping[str, Any] | str | None, seed: int
) -> dict[str, Any]:
    """Free arrays' values at t = 0: "zero" (default), "random" (uniform in ± full scale, from `seed`), or a mapping."""
    free = {n: a for n, a in circuit.arrays.items() if not a.clamped}
    if initial is None or (isinstance(initial, str) and initial == "zero"):
        return {name: backend.xp.zeros((1, *node.shape), backend.dtype) for name, node in free.items()}
    if isinstance(initial, str):
        if initial != "random":
            raise Error(f"initial state {initial!r} is unknown: use 'zero', 'random' or a mapping of arrays")
        rng = np.random.default_rng(checks.seed("initial_seed", seed))
        return {
            name: backend.array(circuit.full_scale(name) * rng.uniform(-1, 1, (1, *node.shape)))
            for name, node in free.items()
        }
    if not isinstance(initial, Mapping):
        raise Error(f"initial state is {shown(initial)}: use 'zero', 'random' or a mapping of arrays")
    for name in initial:
        if name not in free:
            raise Error(f"initial value {name!r} is not of a free array of {circuit.name!r}: {meant(name, free)}")
    return {
        name: _batched(backend, initial.get(name, np.zeros(node.shape)), node.shape, f"initial value {name!r}")
        for name, node in free.items()
    }
