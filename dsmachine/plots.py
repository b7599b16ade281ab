"""Pictures: waveforms of nodes, error against time by layer, the front running through the model, what moves when;
energy by part, loss against steps, a transistor's currents, the emulator beside ngspice, and one of every other result.
What an analysis returns has its own as `.plot()`.

Each returns a matplotlib Figure (`figure.savefig("x.png")`); nothing global is touched and no window opens.
"""

from __future__ import annotations

from pathlib import Path

from matplotlib.backend_bases import FigureCanvasBase
from matplotlib.figure import Figure

from .circuits.cells.pictures import plot_channels, plot_support
from .circuits.devices.card_picture import plot_device_card
from .circuits.errors import Error
from .emulator.files import written_whole
from .emulator.pictures import plot_fluctuations, plot_gradients, plot_learned, plot_memory, plot_noise_shares
from .emulator.plotting import plot_waveforms
from .emulator.settling_plots import plot_activity, plot_front, plot_settling
from .energy.plotting import plot_energy, plot_placement
from .netlists.plotting import plot_crosscheck
from .results_plots import plot_annealed, plot_calibration, plot_generated, plot_training
from .sweeps.plots import plot_sweep, plot_yield


def picture_format(path: str | Path) -> str:
    """The format of a path's suffix, PNG without one. Raises Error for one that Matplotlib cannot write."""
    known = FigureCanvasBase.get_supported_filetypes()
    suffix = Path(path).suffix.lstrip(".").lower() or "png"
    if suffix not in known:
        raise Error(f"picture {path} has no known format: use one of {', '.join(sorted(known))}")
    return suffix


def save_figure(figure: Figure, path: str | Path, *, overwrite: bool = False, dpi: float = 160) -> None:
    """Write a figure whole, in the format of the path's suffix (PNG without one)."""
    suffix = picture_format(path)
    with written_whole(path, overwrite=overwrite) as part:
        figure.savefig(part, dpi=dpi, format=suffix)


__all__ = [
    "plot_activity",
    "plot_annealed",
    "plot_calibration",
    "plot_channels",
    "plot_crosscheck",
    "plot_device_card",
    "plot_energy",
    "plot_fluctuations",
    "plot_front",
    "plot_generated",
    "plot_gradients",
    "plot_learned",
    "plot_memory",
    "plot_noise_shares",
    "plot_placement",
    "plot_settling",
    "plot_support",
    "plot_sweep",
    "plot_training",
    "plot_waveforms",
    "plot_yield",
    "save_figure",
]
