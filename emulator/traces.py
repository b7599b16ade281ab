"""What observers leave behind: values of one thing against time, with their unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = Any


@dataclass(frozen=True)
class Trace:
    """times (T,) [s]; values (T, …) in `unit` ("V", "1" for a share of full scale, or `activity.UNIT`).

    Of an array's nodes: values (T, batch, *picked); nodes (*picked) their flat indices in the array's `shape`.
    """

    times: Array
    values: Array
    unit: str = "V"
    nodes: Array | None = None
    shape: tuple[int, ...] = ()

    def label(self, k: int) -> str:
        """Index of the k-th picked node in its array, such as "[3, 17]"."""
        if self.nodes is None or not self.shape:
            return ""
        index = np.unravel_index(int(np.ravel(self.nodes)[k]), self.shape)
        return "[" + ", ".join(str(int(i)) for i in index) + "]"

    def plot(self) -> Figure:
        """Values against time; see `plotting.plot_trace`."""
        from .plotting import plot_trace

        return plot_trace(self)


@runtime_checkable
class Traced(Protocol):
    """An observer whose record can be plotted and saved."""

    def traces(self) -> dict[str, Trace]:
        """What was recorded, by name."""
