"""What simulators differ in, as one table: options, analysis cards, sources. Cells write what they have in common.

A recorded waveform as a `V PWL` source makes a breakpoint of every knot (4.5 points each), as `B V=pwl(time, …)`
none; that function extrapolates its last slope, so the last value is repeated later on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Array = Any
MANY = 30_000  # lines about cells
A_LINE = 6  # items on a continued line
FEW_KNOTS = 40  # so few corners are worth a breakpoint each


@dataclass(frozen=True)
class Dialect:
    """Text of one simulator. command: how a person runs a file.

    options: `.options` as written and recorded, and `max_step`, the longest step in shortest time constants;
    large: the same for netlists of more than `MANY` lines of cells. print_share: printing interval, likewise.
    """

    name: str
    command: str
    options: Mapping[str, str | float]
    large: Mapping[str, str | float]
    print_share: float = 1 / 20

    def option_lines(self, options: Mapping[str, str | float]) -> list[str]:
        """The `.options` card."""
        return [".options " + " ".join(f"{name}={_plain(value)}" for name, value in options.items())]

    def analysis(self, tau: float, duration: float, step: float, start: str) -> str:
        """A transient: (print interval, end, start, longest step) in seconds. start "uic": from the initial voltages,
        all others being 0; "op": from the operating point in which the initial voltages are held."""
        begin = " uic" if start == "uic" else ""
        return f".tran {tau * self.print_share:.9g} {duration:.12g} 0 {step:.9g}{begin}"

    def models(self, cards: str) -> list[str]:
        """Model cards, in the netlist itself: it runs as it stands, and reads no other file."""
        return [line for card in cards.splitlines() for line in continued_words(card)]

    def save(self, nodes: Iterable[str], sources: Iterable[str] = ()) -> list[str]:
        """Keep these voltages, and the currents through these sources, and nothing else."""
        return continued(".save", [*(f"v({node})" for node in nodes), *(f"i({source})" for source in sources)])

    def print(self, nodes: Iterable[str]) -> str:
        """What a run in batch mode prints; without it ngspice runs nothing."""
        return ".print tran " + " ".join(f"v({node})" for node in nodes)

    def initial(self, nodes: Iterable[str], volts: Iterable[float]) -> list[str]:
        """Voltages at t = 0."""
        return [f".ic v({node})={value:.12g}" for node, value in zip(nodes, volts, strict=True)]

    def constant(self, label: str, node: str, volts: float) -> str:
        """A source that holds a node."""
        return f"V{label} {node} 0 {volts:.12g}"

    def waveform(self, label: str, node: str, times: Array, volts: Array, duration: float) -> list[str]:
        """A source that follows straight lines between knots: with a breakpoint at each if they are few."""
        knots = [f"{t:.12g} {v:.11g}" for t, v in zip(times, volts, strict=True)]
        if len(knots) <= FEW_KNOTS:
            return continued(f"V{label} {node} 0 PWL(", knots, ")")
        pairs = [f"{t:.11g},{v:.11g}" for t, v in zip(times, volts, strict=True)]
        pairs.append(f"{2 * max(duration, times[-1]):.11g},{volts[-1]:.11g}")
        return continued(f"B{label} {node} 0 V=pwl(time,", pairs, ")", ",")


def continued_words(card: str) -> list[str]:
    """A long card over several lines, parted at blanks."""
    words = card.split()
    return continued(" ".join(words[:3]), words[3:])


def continued(head: str, items: list[str], tail: str = "", comma: str = "") -> list[str]:
    """A long card over several lines: head, items parted by `comma` and a blank, tail."""
    rows = [items[k : k + A_LINE] for k in range(0, len(items), A_LINE)]
    text = [f"{comma} ".join(row) for row in rows]
    lines = [f"{head} {text[0]}", *(f"+ {row}" for row in text[1:])] if text else [head]
    if comma:
        lines[:-1] = [line + comma for line in lines[:-1]]
    lines[-1] += tail
    return lines


def _plain(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:g}"


# ngspice 39.3 holds a step's truncation error under trtol·reltol·max(q, chgtol), chgtol being the charge from which on
# errors are relative. CHARGE_SHARE of a node's full-scale charge makes them shares of full scale, as ours are. The
# default 1e-14 C is more than our nodes hold (49 fF · 0.1 V), so that step control would sleep; a much smaller value
# follows every node to 1e-6 of its own tiny voltage, in twice the points and no closer. `trap` is three to four times
# better than Gear at equal points.
CHARGE_SHARE = 0.3
TIGHT: Mapping[str, str | float] = {
    "method": "trap",
    "reltol": 1e-6,
    "abstol": 1e-12,
    "vntol": 1e-7,
    "trtol": 0.3,
    "itl4": 200,
    "max_step": 0.1,
}
# A block of 200,000 couplings in 220 points instead of 650: worst array 3e-5 instead of 7e-6.
LARGE: Mapping[str, str | float] = dict(TIGHT) | {"trtol": 14, "max_step": 0.5}
DIALECTS = {"ngspice": Dialect("ngspice", "ngspice -b", TIGHT, LARGE)}
