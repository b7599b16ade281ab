"""Pictures of what a simulator measured of conveyors and of the transistors in cells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..circuit import BOLTZMANN, ELEMENTARY_CHARGE
from ..look import COLOURS, LINES, MUTED, drawn, new_figure, plain_ticks
from ..units import engineering
from .conveyor_loop import Transfer
from .rational import at

if TYPE_CHECKING:
    from .channel import Channels
    from .mos.support import Support

Array = Any
HERTZ = np.geomspace(1e6, 5e9, 200)
LOADS = (0.0, 0.1e-3, 0.5e-3)  # S at a conveyor's input
AMPERES = np.geomspace(1e-9, 2e-5, 100)  # of a cell's devices
SHARES = np.linspace(0.0, 1.0, 101)  # of a tail's current
VOLTS = BOLTZMANN * 300 / ELEMENTARY_CHARGE  # kT/q at 300 K


@drawn
def plot_support(found: Support) -> Figure:
    """A conveyor over frequency, with some conductances L at its input: the share of a current that comes out, c of its
    `loop` at r_x L, and noise as the G of 4kT·G."""
    figure = new_figure(7.6, 3.3)
    left, right = figure.subplots(1, 2)
    for load, line, colour in zip(LOADS, LINES, COLOURS, strict=False):
        gain, siemens = _of_conveyor(found, load)
        label = f"L = {engineering(load, 'S')}"
        left.plot(HERTZ, gain, line, color=colour, label=label)
        right.plot(HERTZ, siemens * 1e3, line, color=colour, label=label)
    left.set_ylabel("current out (share of that in)")
    left.set_ylim(bottom=0)
    at_rest = engineering(found.conveyor_current, "A")
    left.set_title(f"class {found.kind}: r_x = {engineering(found.input_resistance, 'Ω')}, {at_rest} at rest")
    right.set_ylabel("noise as a conductance (mS)")
    right.set_yscale("log")
    plain_ticks(right.yaxis)
    right.set_title(f"noise, within {100 * found.loop.error:.2g} % rms of ngspice’s")
    right.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), title="at the input")
    for ax in (left, right):
        ax.set_xscale("log")
        ax.set_xlabel("frequency (Hz)")
    return figure


def _of_conveyor(found: Support, load: float) -> tuple[Array, Array]:
    """(|i_out / i_in|, G [S]) over HERTZ with a conductance at x; equations: `conveyor_loop.py`."""
    s, at_input, slope = 2j * np.pi * HERTZ, found.input_resistance * load, found.current_gain / found.input_resistance

    def squared(transfer: Transfer) -> Array:
        above, below = transfer
        return np.abs(at(above, s) / at(below, s)) ** 2

    gain = found.current_gain * np.sqrt(squared(found.loop.transfers(at_input)["signal"]))
    noise = found.loop.siemens(found.noise_conductance, found.noise_resistance, slope, at_input, squared)
    return gain, noise


@drawn
def plot_channels(found: Channels) -> Figure:
    """Noise of a cell's devices as the G of 4kT·G, at 300 K: a pair's for each ampere of its tail, mirrors' and a
    rectifier's over their current, with shot noise beside it (2qI); and where mirrors' diodes have their poles."""
    figure = new_figure(9.6, 3.4)
    pair, mirrors, poles = figure.subplots(1, 3)
    _pair(pair, found)
    lines = {"p mirror": found.p, "n mirror": found.n, "rectifier": found.rectifier}
    for (name, channel), colour, line in zip(lines.items(), COLOURS, LINES, strict=False):
        mirrors.plot(AMPERES * 1e6, channel.siemens(AMPERES, VOLTS) * 1e6, line, color=colour, label=name)
        if channel.capacitance or channel.charge:
            hertz = 1 / (2 * np.pi * channel.seconds(AMPERES, VOLTS))
            poles.plot(AMPERES * 1e6, hertz / 1e6, line, color=colour, label=name)
    mirrors.plot(AMPERES * 1e6, AMPERES / (2 * VOLTS) * 1e6, ":", color=MUTED, label="shot noise")
    mirrors.set_ylabel("noise as a conductance (µS)")
    poles.set_ylabel("pole of the diode (MHz)")
    for ax, title in ((mirrors, "output mirrors and rectifier"), (poles, "their diodes")):
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.set_xlabel("current (µA)")
        ax.set_title(title)
    mirrors.legend(loc="upper left")
    return figure


def _pair(ax: Axes, found: Channels) -> None:
    for (name, channel), colour, line in zip({"branch": found.branch, "source": found.source}.items(), COLOURS, LINES,
                                             strict=False):  # fmt: skip
        ax.plot(100 * SHARES, channel.siemens(SHARES, VOLTS), line, color=colour, label=name)
    ax.axhline(found.tail / (2 * VOLTS), color=MUTED, linewidth=0.9, linestyle=":", label="sink of the tail")
    ax.set_xlabel("current of a branch (% of its tail's)")
    ax.set_ylabel("conductance of a tail of 1 A (S)")
    ax.set_ylim(bottom=0)
    ax.set_title("tanh pairs and softmax")
    ax.legend(loc="upper left")


__all__ = ["plot_channels", "plot_support"]
