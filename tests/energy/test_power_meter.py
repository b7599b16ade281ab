"""Joules by NVML: a library with its four calls, compiled here, stands for a board of known power."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dsmachine.energy import power_meter as meters
from dsmachine.energy.power_meter import power_meter

WATTS = 250.0
BOARD = """
#include <string.h>
#include <time.h>
int nvmlInit_v2(void) { return 0; }
int nvmlDeviceGetHandleByUUID(const char *uuid, void **handle) {
    *handle = (void *)0x100000007;                       /* wider than an int */
    return strcmp(uuid, "GPU-7") != 0;
}
static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + 1e-9 * t.tv_nsec;
}
int nvmlDeviceGetTotalEnergyConsumption(void *handle, unsigned long long *millijoules) {
    *millijoules = (unsigned long long)(250e3 * seconds());
    return handle == (void *)0x100000007 ? COUNTS : 2;
}
int nvmlDeviceGetPowerUsage(void *handle, unsigned int *milliwatts) {
    *milliwatts = 250000;
    return handle == (void *)0x100000007 ? MEASURES : 2;
}
"""


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[bool, bool], None]:
    """A board that counts energy, or only measures power, or neither; takes the place of the driver's library."""

    def build(counts: bool, measures: bool) -> None:
        source, library = tmp_path / "nvml.c", tmp_path / "libnvml.so"
        source.write_text(BOARD)
        unsupported = {True: "0", False: "3"}
        flags = [f"-DCOUNTS={unsupported[counts]}", f"-DMEASURES={unsupported[measures]}"]
        subprocess.run(["cc", "-shared", "-fPIC", *flags, str(source), "-o", str(library)], check=True)
        monkeypatch.setattr(meters, "LIBRARY", str(library))

    return build


@pytest.mark.parametrize("counts", [True, False])
def test_energy_is_power_times_time(board: Callable[[bool, bool], None], counts: bool) -> None:
    board(counts, True)
    with power_meter("GPU-7") as meter:
        assert meter is not None and ("counter" in meter.source) is counts
        earliest, before, begun = time.perf_counter(), meter.joules(), time.perf_counter()
        time.sleep(0.2)
        ended, after, latest = time.perf_counter(), meter.joules(), time.perf_counter()
    assert 0.95 * WATTS * (ended - begun) <= after - before <= 1.05 * WATTS * (latest - earliest)


def test_no_meter_where_there_is_none(board: Callable[[bool, bool], None], monkeypatch: pytest.MonkeyPatch) -> None:
    board(False, False)
    with power_meter("GPU-7") as meter:
        assert meter is None
    with power_meter("GPU-8") as meter:
        assert meter is None
    monkeypatch.setattr(meters, "LIBRARY", "libnvidia-ml-of-nobody.so")
    with power_meter("GPU-7") as meter:
        assert meter is None
