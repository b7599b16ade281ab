"""What tests of several folders share."""

from __future__ import annotations

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
