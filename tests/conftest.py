"""What tests of several folders share."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest
from host_kernels import HostKernel

from dsmachine.emulator import kernels
from dsmachine.emulator.backend import Backend


@pytest.fixture
def fused(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Switches to the GPU's solver, steps and meter, their kernels compiled for the processor."""

    def switch() -> None:
        monkeypatch.setattr(Backend, "fused", property(lambda self: True))
        monkeypatch.setattr(kernels, "compiled", HostKernel)

    return switch


@pytest.fixture(autouse=True)
def _logging_as_new() -> None:
    """Commands set how loud the package's log is and who hears it, in fixtures of whole modules too: no test finds that
    of another."""
    logger = logging.getLogger("dsmachine")
    logger.setLevel(logging.NOTSET)
    logger.handlers.clear()
    logger.propagate = True
