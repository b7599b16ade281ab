"""Circuit-level emulator of the dynamical-system machine: language models that anneal.

The public names; each is imported when it is first asked for. A machine by hand, three nodes on a cycle that an
input drives:

>>> import numpy as np
>>> import dsmachine as ds
>>> ring = ds.Circuit("ring")
>>> _ = ring.clamp("input", (3,))
>>> _ = ring.nodes("s", (3,))
>>> _ = ring.couple("h", "input", "s", 1.0)
>>> _ = ring.couple("J", "s", "s", 0.5 * np.roll(np.eye(3), 1, axis=0))
>>> run = ds.transient(ring, {"input": [0.07, 0.0, 0.0]}, settle_bits=10)
>>> run.settled, run.outputs["s"].round(3).tolist()  # s = h + J s
(True, [[0.08, 0.04, 0.02]])
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .circuits.errors import Error

if TYPE_CHECKING:
    from . import animation, plots
    from .circuits.adjoint import adjoint
    from .circuits.adjoint_volts import adjoint_volts
    from .circuits.cells.channel import with_channels
    from .circuits.checkpoints import load_model
    from .circuits.chip import fabricate, flickered
    from .circuits.circuit import Circuit
    from .circuits.devices.models import load_models
    from .circuits.ecl import ecl_layer
    from .circuits.followers import with_common_mode, with_followers, with_unequal_conveyors
    from .circuits.mapping.gradients import tensor_gradients
    from .circuits.mapping.model import map_model
    from .circuits.technology import load_technology
    from .emulator.activity import Activity
    from .emulator.checkpoint import Checkpoint
    from .emulator.each import each
    from .emulator.ecl_steps import ecl_steps
    from .emulator.errors_by_layer import ErrorByLayer
    from .emulator.gradients import gradients, next_token_targets
    from .emulator.hamiltonian import hamiltonian
    from .emulator.noise import noise
    from .emulator.noise_shares import noise_shares
    from .emulator.observers import Probe
    from .emulator.prepare import memory_needed, prepare
    from .emulator.run import operating_point, transient
    from .emulator.runfile import load_run
    from .energy.machine import load_machine
    from .energy.meter import EnergyMeter
    from .energy.placement import place
    from .netlists.channels import measure_channels
    from .netlists.characterize import characterize
    from .netlists.conveyor_errors import measure_conveyor_errors
    from .netlists.crosscheck import crosscheck
    from .netlists.device_file import load_device, save_device
    from .netlists.flicker import measure_flicker
    from .netlists.supports import measure_support, transistors_of
    from .netlists.writer import write_netlist
    from .range_report import calibration_report
    from .serial import generate
    from .sweeps.file import load_sweep
    from .sweeps.sweep import sweep
    from .tasks import anneal
    from .timer import timer_time
    from .training import train

__version__ = "0.1.0"

__all__ = [
    "Error",
    "Circuit",
    "load_technology",
    "load_model",
    "map_model",
    "calibration_report",
    "fabricate",
    "flickered",
    "prepare",
    "memory_needed",
    "operating_point",
    "transient",
    "each",
    "noise",
    "noise_shares",
    "adjoint",
    "adjoint_volts",
    "gradients",
    "next_token_targets",
    "tensor_gradients",
    "ecl_layer",
    "ecl_steps",
    "train",
    "Checkpoint",
    "Probe",
    "ErrorByLayer",
    "Activity",
    "EnergyMeter",
    "place",
    "load_machine",
    "anneal",
    "timer_time",
    "generate",
    "sweep",
    "load_sweep",
    "load_run",
    "write_netlist",
    "crosscheck",
    "characterize",
    "transistors_of",
    "measure_support",
    "measure_channels",
    "measure_conveyor_errors",
    "measure_flicker",
    "with_channels",
    "with_common_mode",
    "with_followers",
    "with_unequal_conveyors",
    "load_models",
    "save_device",
    "load_device",
    "hamiltonian",
    "animation",
    "plots",
    "__version__",
]

_HOME = {
    "Circuit": ".circuits.circuit",
    "load_technology": ".circuits.technology",
    "load_model": ".circuits.checkpoints",
    "map_model": ".circuits.mapping.model",
    "calibration_report": ".range_report",
    "fabricate": ".circuits.chip",
    "flickered": ".circuits.chip",
    "operating_point": ".emulator.run",
    "prepare": ".emulator.prepare",
    "memory_needed": ".emulator.prepare",
    "transient": ".emulator.run",
    "each": ".emulator.each",
    "noise": ".emulator.noise",
    "noise_shares": ".emulator.noise_shares",
    "adjoint": ".circuits.adjoint",
    "adjoint_volts": ".circuits.adjoint_volts",
    "gradients": ".emulator.gradients",
    "next_token_targets": ".emulator.gradients",
    "tensor_gradients": ".circuits.mapping.gradients",
    "ecl_layer": ".circuits.ecl",
    "ecl_steps": ".emulator.ecl_steps",
    "train": ".training",
    "Checkpoint": ".emulator.checkpoint",
    "Probe": ".emulator.observers",
    "Activity": ".emulator.activity",
    "ErrorByLayer": ".emulator.errors_by_layer",
    "EnergyMeter": ".energy.meter",
    "place": ".energy.placement",
    "load_machine": ".energy.machine",
    "anneal": ".tasks",
    "timer_time": ".timer",
    "generate": ".serial",
    "sweep": ".sweeps.sweep",
    "load_sweep": ".sweeps.file",
    "load_run": ".emulator.runfile",
    "write_netlist": ".netlists.writer",
    "crosscheck": ".netlists.crosscheck",
    "characterize": ".netlists.characterize",
    "transistors_of": ".netlists.supports",
    "measure_support": ".netlists.supports",
    "measure_channels": ".netlists.channels",
    "measure_conveyor_errors": ".netlists.conveyor_errors",
    "measure_flicker": ".netlists.flicker",
    "with_channels": ".circuits.cells.channel",
    "with_followers": ".circuits.followers",
    "with_common_mode": ".circuits.followers",
    "with_unequal_conveyors": ".circuits.followers",
    "load_models": ".circuits.devices.models",
    "save_device": ".netlists.device_file",
    "load_device": ".netlists.device_file",
    "hamiltonian": ".emulator.hamiltonian",
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use: the command line starts without SciPy."""
    if name in ("animation", "plots"):
        return import_module(f".{name}", __name__)
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOME[name], __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
