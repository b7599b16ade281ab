"""Tasks for many machines over several devices: in order, one at a time on each, errors with the machine's number."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import pytest
from systems.known import SYSTEMS
from systems.system import TAU

import dsmachine as ds


def test_chips() -> None:
    circuit, inputs = SYSTEMS[0].circuit, SYSTEMS[0].inputs
    chips = [ds.fabricate(circuit, seed=seed, offset=0.05) for seed in range(5)]

    def run(chip: Any, device: str) -> Any:
        return ds.transient(chip, inputs, duration=4 * TAU, settle_bits=0, device=device).outputs

    found = ds.each(chips, run, devices=["numpy", "numpy"])
    for chip, outputs in zip(chips, found, strict=True):
        assert all(np.array_equal(outputs[name], volts) for name, volts in run(chip, "numpy").items())


def test_each_device_has_one_at_a_time_and_machines_are_made_when_wanted() -> None:
    lock, busy, most, made = threading.Lock(), [0], [0], []

    def machines() -> Any:
        for number in range(6):
            made.append(number)
            assert len(made) <= 2 + len(done)
            yield number

    done: list[int] = []

    def task(number: int, device: str) -> int:
        with lock:
            busy[0] += 1
            most[0] = max(most[0], busy[0])
        time.sleep(0.02 * (6 - number))
        with lock:
            busy[0] -= 1
            done.append(number)
        return number * number

    assert ds.each(machines(), task, devices=["numpy", "numpy"]) == [0, 1, 4, 9, 16, 25]
    assert most[0] == 2


def test_errors_name_the_machine() -> None:
    begun = []

    def task(number: int, device: str) -> None:
        begun.append(number)
        if number == 1:
            raise ValueError("it burnt")

    with pytest.raises(ds.Error, match="machine 1 of the batch: it burnt") as caught:
        ds.each(range(100), task, devices=["numpy"])
    assert isinstance(caught.value.__cause__, ValueError)
    assert begun == [0, 1]
    with pytest.raises(ds.Error, match="devices is empty"):
        ds.each([], task, devices=[])
