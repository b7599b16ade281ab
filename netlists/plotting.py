"""Picture of a cross-check: one node as ngspice and the emulator have it, and their difference."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from ..circuits.look import COLOURS, FAINT, drawn, new_figure

if TYPE_CHECKING:
    from .crosscheck import CrossCheck


@drawn
def plot_crosscheck(found: CrossCheck) -> Figure:
    """The worst array's farthest node: both waveforms above (mV), their difference below (µV); time in ns."""
    shown = found.farthest
    figure = new_figure(7.0, 4.0)
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(1.6, 1))
    nanoseconds = shown.times * 1e9
    top.plot(nanoseconds, shown.spice * 1e3, color=COLOURS[4], linewidth=4.0, label=found.version)
    top.plot(nanoseconds, shown.ours * 1e3, color="black", linewidth=1.0, label="dsmachine")
    top.set_title(f"{shown.node}, the farthest node; NRMSE of its array {found.nrmse:.2g}, limit {found.limit:g}")
    top.set_ylabel("voltage (mV)")
    top.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    bottom.axhline(0, color=FAINT, linewidth=0.8)
    bottom.plot(nanoseconds, (shown.ours - shown.spice) * 1e6, color=COLOURS[1])
    bottom.set_ylabel("difference (µV)")
    bottom.set_xlabel("time (ns)")
    bottom.set_xlim(0, nanoseconds[-1])
    return figure


__all__ = ["plot_crosscheck"]
