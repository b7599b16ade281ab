"""An animation of the front: the picture of `plots.plot_front`, uncovered as time goes on."""

from __future__ import annotations

from inspect import signature
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from .circuits import checks
from .circuits.quantities import known
from .emulator.files import written_whole
from .plots import plot_front

Array = Any
FRAMES, SECONDS, REST = 60, 5.0, 2.0  # pictures, how long they take, how long the last one stays
PALE, CURSOR = 255, 80
COLOURS = 96  # of the palette; more make a larger file


def save_front_animation(
    source: Any, path: str | Path, *, overwrite: bool = False, dpi: float = 96, **options: Any
) -> None:
    """Write a GIF of the front running through a machine; source and options as of `plot_front`.

    Time runs along the picture, so what has not happened yet is blank.
    """
    checks.number("dpi", dpi, "give dots an inch, such as 96", above=0)
    for name in options:
        known(name, [*signature(plot_front).parameters][1:], "option of save_front_animation")
    whole, axes = _drawn(plot_front(source, **options), dpi)
    palette = Image.fromarray(whole).quantize(COLOURS)
    ends = np.linspace(axes.left, axes.right, FRAMES + 1)[1:].astype(int)
    pictures = [Image.fromarray(_until(whole, at, axes)).quantize(palette=palette) for at in ends]
    last = [*[1000 * SECONDS / FRAMES] * (FRAMES - 1), 1000 * REST]
    with written_whole(path, overwrite=overwrite) as part:
        pictures[0].save(
            part, format="GIF", save_all=True, append_images=pictures[1:], duration=last, loop=0, optimize=True
        )


class Box(NamedTuple):
    """Where axes are, in pixels from the upper left corner."""

    left: int
    right: int
    top: int
    bottom: int


def _drawn(figure: Figure, dpi: float) -> tuple[Array, Box]:
    """The picture (rows, columns, RGB), and where its first axes are."""
    figure.set_dpi(dpi)
    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3].copy()
    extent = figure.axes[0].get_window_extent()
    upper, lower = (len(pixels) - round(y) for y in (extent.y1, extent.y0))
    return pixels, Box(round(extent.x0), round(extent.x1), upper, lower)


def _until(whole: Array, at: int, axes: Box) -> Array:
    """The picture up to a moment, which a line marks; whatever stands above the axes waits for its moment too."""
    picture = whole.copy()
    if at < axes.right:
        picture[: axes.bottom, at : axes.right + 1] = PALE
        picture[axes.top : axes.bottom, at : at + 2] = CURSOR
    return picture


__all__ = ["save_front_animation"]
