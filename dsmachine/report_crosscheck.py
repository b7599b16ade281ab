"""The section of a report that says what ngspice found: verdict, limits, error by array, heat by part."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .circuits.units import engineering
from .circuits.words import counted
from .report_html import Html, join, note, pairs, picture, section, table, tag

if TYPE_CHECKING:
    from .netlists.crosscheck import CrossCheck

TITLE = "Cross-check with ngspice"
UNITS = {"abstol": "A", "vntol": "V", "chgtol": "C", "gmin": "S", "max_step": "s"}  # of a netlist's options
TOOK = {
    "write": "writing the netlist", "parse": "ngspice reading it", "solve": "solving it", "ngspice": "in all",
    "emulate": "emulator",
}  # fmt: skip
SAME = (
    "ngspice and the emulator solve the same circuit on the same inputs. NRMSE of an array is the rms of what they "
    "differ by, over its nodes and over time, in units of full scale."
)


def crosscheck_section(found: CrossCheck | None) -> Html:
    """A verdict in words, then what it rests on."""
    if found is None:
        return section(TITLE, tag("p", "Not made in this run."))
    shown = found.farthest
    off = float(np.max(np.abs(shown.ours - shown.spice)))
    caption = f"{shown.node}, the farthest node, at most {engineering(off, 'V')} off"
    return section(
        TITLE,
        tag("p", SAME, cls="muted"),
        pairs([("Verdict", _verdict(found)), *_facts(found)]),
        *_heat(found),
        tag("h3", "Error by array, the worst first"),
        _by_array(found),
        picture(found.plot(), caption),
    )


def _verdict(found: CrossCheck) -> Html:
    word = "agrees" if found.passed else "DISAGREES"
    limits = f"NRMSE {found.nrmse:.2g} in {found.worst}, limit {found.limit:g}"
    if found.energy_ratio is not None:
        limits += f"; heat {_off(found.energy_ratio)}, limit ±{found.energy_limit:.2g}"
    return join([tag("b", f"{found.version} {word}"), note(limits)])


def _facts(found: CrossCheck) -> list[tuple[object, object]]:
    facts: list[tuple[object, object]] = [
        ("Part", f"{found.title}: {counted(found.nodes, 'node')} in {counted(len(found.by_array), 'array')}"),
        ("Circuit time", f"{engineering(found.duration, 's')}, {counted(found.points, 'point')} of ngspice’s own"),
        ("Emulator", f"tolerance {found.tolerance:g} of full scale, float64"),
        ("ngspice by", f"{found.engine}: {', '.join(_option(name, value) for name, value in found.options.items())}"),
        ("Wall time", ", ".join(f"{TOOK[name]} {engineering(s, 's')}" for name, s in found.seconds.items() if s)),
    ]
    kept = [path for path in (found.netlist, found.log) if path is not None]
    return [*facts, *([("Kept", ", ".join(map(str, kept)))] if kept else [])]


def _option(name: str, value: str | float) -> str:
    unit = UNITS.get(name)
    said = engineering(float(value), unit) if unit else value if isinstance(value, str) else f"{value:g}"
    return f"{name.replace('_', ' ')} {said}"


def _heat(found: CrossCheck) -> list[Html]:
    """Joules by part, where they were compared."""
    if found.energy_ratio is None:
        return []
    rows = [
        (part, engineering(found.heat_emulator[part], "J"), engineering(joules, "J"),
         _off(found.heat_emulator[part] / joules) if joules else "–")
        for part, joules in sorted(found.heat_spice.items(), key=lambda item: -item[1])
    ]  # fmt: skip
    ours, theirs = (sum(heat.values()) for heat in (found.heat_emulator, found.heat_spice))
    rows.append(("total", engineering(ours, "J"), engineering(theirs, "J"), _off(found.energy_ratio)))
    head = ("part", "emulator", "ngspice", "difference")
    return [tag("h3", "Heat in elements"), table(head, rows, total=True)]


def _off(ratio: float) -> str:
    return f"{ratio - 1:+.1e}"


def _by_array(found: CrossCheck) -> Html:
    worst_first = sorted(found.by_array.items(), key=lambda item: -item[1])
    rows = [(name, f"{error:.2g}", f"{error / found.limit:.0%}") for name, error in worst_first]
    return table(("array", "NRMSE (of full scale)", f"of the limit, {found.limit:g}"), rows)


__all__ = ["crosscheck_section"]
