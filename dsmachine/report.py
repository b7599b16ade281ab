"""report.html: what one annealing did, in one file that a person can open anywhere."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import scipy

from . import __version__
from .circuits.cells.mismatch import Spread
from .circuits.units import engineering
from .circuits.words import counted, visible
from .emulator.files import write_text
from .report_crosscheck import crosscheck_section
from .report_html import Html, join, note, page, pairs, picture, section, table, tag, text, tile

if TYPE_CHECKING:
    from .circuits.technology import Technology
    from .netlists.crosscheck import CrossCheck
    from .tasks import Annealed

LIMITS = (
    "Cells are behavioural laws with the technology's numbers, not transistors: ngspice confirms laws, not a layout.",
    "Only the imperfections under Settings are on; everything else is ideal.",
    "The timer is a quantile over a few calibration prompts; another text may need longer.",
    "A small character-level model is a demonstration of the machine, not of language.",
)

# of a run's statistics
TOLD_ELSEWHERE = {"by_layer", "chip_seed", "trim", "weight_bits", "wall_s", *(part.name for part in fields(Spread))}
UNITS = {  # of settings that are numbers, where there is one
    "input_resistance": "Ω", "branch_offset": "V", "threshold_area": "V·m", "beta_area": "m", "threshold_gradient": "V",
    "predicted_bytes": "B", "read_window_s": "s", "duration_s": "s",
}  # fmt: skip
OF_WHAT = {
    "softmax_clamp": "nat", "mismatch": "σ, relative", "vt_mismatch": "σ, share of the row’s largest |G|",
    "offset": "σ, share of full scale", "beta_gradient": "relative, from coupling to coupling", "gradient_angle": "rad",
    "write_verify": "σ, relative", "auto_zero": "share of full scale", "tolerance": "share of full scale",
    "rms": "share of full scale",
}  # fmt: skip


def write_report(
    annealed: Annealed,
    crosscheck: CrossCheck | None,
    path: str | Path,
    pictures: Mapping[str, Any],
    *,
    continuation: tuple[str, str] | None = None,
    overwrite: bool = False,
) -> None:
    """Write one self-contained page.

    crosscheck: what ngspice said, None if it was not asked. pictures: caption → Figure, PNG bytes or path of a PNG.
    continuation: texts of machine and digital reference after the prompt; default the likeliest next token of each.
    Raises Error where the page cannot be written or a picture cannot be read.
    """
    ours, theirs = continuation or (annealed.text, annealed.expected)
    document = page(
        f"{annealed.model}: annealing report",
        _header(annealed),
        _tiles(annealed, crosscheck),
        _texts(annealed.prompt, ours, theirs),
        _settling(annealed),
        section("Pictures", *(picture(source, caption) for caption, source in pictures.items())) if pictures else "",
        _energy(annealed),
        _accuracy(annealed),
        crosscheck_section(crosscheck),
        _settings(annealed),
        _limits(annealed),
        tag("footer", _versions(), cls="muted"),
    )
    write_text(path, document, overwrite=overwrite)


# --- parts of the page --------------------------------------------------------------------------------


def _header(annealed: Annealed) -> Html:
    circuit = annealed.machine.circuit
    settled = "settled" if annealed.run.settled else "did not settle"
    made = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    line = (
        f"{counted(len(annealed.tokens), 'token')}, {counted(circuit.node_count(), 'node')}, "
        f"{counted(len(circuit.arrays), 'array')}: {settled}. {made}"
    )
    return tag("header", tag("h1", f"{annealed.model}, annealed"), tag("div", line, cls="muted"))


def _tiles(annealed: Annealed, check: CrossCheck | None) -> Html:
    agree = annealed.argmax_agreement
    tiles = [
        tile(_seconds(annealed.oracle_time), f"settled to {annealed.settle_bits:g} bits"),
        tile(engineering(float(np.mean(annealed.energy.per_token)), "J"), "drawn from the supply per token"),
        tile(f"{annealed.logit_error:.2g}", "logit error against the digital reference"),
        tile(_percent(agree["share"]), f"same likeliest token, {counted(agree['compared'], 'clear position')}"),
    ]
    if check is not None:
        tiles.append(tile(f"{check.nrmse:.2g}", f"NRMSE against ngspice, limit {check.limit:g}"))
    return tag("div", *tiles, cls="tiles")


def _texts(prompt: str, ours: str, theirs: str) -> Html:
    same = "the same text" if ours == theirs else "the texts differ"
    blocks = [
        tag("div", tag("h3", title), tag("pre", prompt, tag("mark", visible(said))))
        for title, said in (("Machine", ours), ("Digital reference", theirs))
    ]
    about = "The prompt, and underlined what each makes of it: "
    return section("Text", tag("p", about, same, ".", cls="muted"), tag("div", *blocks, cls="pair"))


def _settling(annealed: Annealed) -> Html:
    layers = {name: node.layer for name, node in annealed.machine.circuit.arrays.items()}
    slowest: dict[str, tuple[float, str]] = {}
    for name, seconds in annealed.run.by_array.items():
        slowest[layers[name]] = max(slowest.get(layers[name], (-1.0, "")), (seconds, name))
    rows = [(layer or "(inputs)", name, _seconds(t)) for layer, (t, name) in slowest.items()]
    band = join(["2", tag("sup", f"−{annealed.settle_bits:g}")])
    oracle = note("when every node of this prompt was inside its band for good")
    waits: object = "none: this prompt has not settled"
    if annealed.timer_time > 0:
        about = note("p99 over calibration prompts: what a chip without an oracle waits")
        waits = join([_seconds(annealed.timer_time), about])
    elif annealed.run.settled:
        waits = "none: no calibration prompts were asked for, or one has not settled"
    facts: list[tuple[object, object]] = [
        ("Oracle time", join([_seconds(annealed.oracle_time), oracle])),
        ("Timer time", waits),
        (
            "Settled means",
            join(["within ", band, " of full scale, and of the logits’ range at every position"]),
        ),
        ("Time simulated", _seconds(annealed.run.duration)),
        ("Saturated at rest", counted(sum(annealed.run.saturated.values()), "node")),
    ]
    head = tag("h3", "Last array to settle, by layer")
    return section("Settling", pairs(facts), head, table(("layer", "slowest array", "settled"), rows, words=2))


def _energy(annealed: Annealed) -> Html:
    account = annealed.energy.to_json()
    tables: list[Html] = []
    for key, title in (("by_part", "part"), ("by_layer", "layer")):
        tables += [tag("h3", f"By {title}"), _energy_table(title, account[key], account)]
    tables += [tag("h3", "By phase"), _phase_table(account)]
    once = f"{engineering(account['programming'], 'J')} in {_seconds(account['programming_s'])}"
    bare, tokens = account["without_refresh"], account["tokens"]
    facts: list[tuple[object, object]] = [
        ("Weighed until", f"{_seconds(account['duration_s'])}, the {account['until']}"),
        ("Drawn from the supply", engineering(account["total"], "J")),
        ("… a token", engineering(account["per_token"], "J")),
        ("… without refresh", f"{engineering(bare, 'J')}, {engineering(bare / tokens, 'J')} a token"),
        ("Mean power while annealing", engineering(account["power_w"], "W")),
        ("Dissipated in elements", engineering(account["dissipated"], "J")),
        ("Programming all weights once", join([once, note("not in the total")])),
    ]
    apart = (
        "Drawn is what the supply delivers; dissipated is what becomes heat in couplings, products, feedback and "
        "reset. They answer different questions and are never added."
    )
    missing = tag("p", "Not counted: ", "; ".join(account["excluded"]), ".", cls="muted")
    return section("Energy", tag("p", apart, cls="muted"), pairs(facts), *tables, missing)


def _energy_table(title: str, costs: Mapping[str, Mapping[str, float]], account: Mapping[str, Any]) -> Html:
    rows: list[tuple[object, ...]] = []
    total = account["total"] or 1.0
    for name, cost in sorted(costs.items(), key=lambda item: -item[1]["drawn"]):
        drawn, heat = cost["drawn"], cost["dissipated"]
        rows.append((name or "(inputs)", _joules(drawn), _share(drawn / total), _joules(heat)))
    rows.append(("total", _joules(account["total"]), "", _joules(account["dissipated"])))
    return table((title, "drawn from supply", "share", "dissipated in elements"), rows, apart=3, total=True)


def _phase_table(account: Mapping[str, Any]) -> Html:
    rows: list[tuple[object, ...]] = [
        (name, _seconds(cost["seconds"]), _joules(cost["drawn"]), _joules(cost["dissipated"]))
        for name, cost in account["by_phase"].items()
    ]
    rows.append(("total", _seconds(account["latency_s"]), _joules(account["total"]), _joules(account["dissipated"])))
    return table(("phase", "time", "drawn from supply", "dissipated in elements"), rows, apart=3, total=True)


def _accuracy(annealed: Annealed) -> Html:
    agree = annealed.argmax_agreement
    return section(
        "Against the digital reference",
        pairs(
            [
                ("Logit error", f"{annealed.logit_error:.3g} (worst position: max |Δlogit| / max |logit − mean|)"),
                (
                    "Likeliest token agrees",
                    f"{_percent(agree['share'])} of {counted(agree['compared'], 'position')} with a clear margin",
                ),
                ("Too close to call", counted(agree["close"], "position")),
            ]
        ),
    )


def _settings(annealed: Annealed) -> Html:
    circuit, run = annealed.machine.circuit, annealed.run
    notes = {k: v for k, v in circuit.notes.items() if not isinstance(v, Mapping)}
    chip = annealed.machine
    spread = vars(chip.spread) | {"chip seed": chip.seed, "trim": chip.trim or "none"}
    bits = {name: "exact" if count is None else count for name, count in annealed.summary()["bits"].items()}
    noise = annealed.summary()["noise"]
    groups: list[tuple[str, Mapping[str, Any]]] = [
        ("Machine", notes | _technology(annealed.technology)),
        ("Chip", spread),
        ("Converters (bits)", bits),
        ("Noise", noise or {"noise": "off"}),
        ("Solver", {k: v for k, v in run.statistics.items() if k not in TOLD_ELSEWHERE}),
        ("Wall time (s)", {k: f"{v:.2f}" for k, v in annealed.wall_s.items()}),
    ]
    lost = circuit.notes.get("lost_bits") or {}
    if lost:
        worst = sorted(lost.items(), key=lambda item: -item[1])[:5]
        groups.append(("Range given up to fit the devices (bits)", {n: f"{b:.1f}" for n, b in worst}))
    parts = [(tag("h3", title), pairs(_setting(name, v) for name, v in rows.items())) for title, rows in groups]
    return section("Settings", *(piece for part in parts for piece in part))


def _setting(name: str, value: Any) -> tuple[str, Html]:
    """Its name and its value, with a unit."""
    if name in UNITS and isinstance(value, int | float):
        name, unit = _words(name).removesuffix(" bytes").removesuffix(" s"), UNITS[name]
        return f"{name} memory" if unit == "B" else name, text(engineering(float(value), unit))
    of_what = f" ({OF_WHAT[name]})" if name in OF_WHAT and value is not None else ""
    return f"{_words(name)}{of_what}", _value(value)


def _technology(tech: Technology) -> dict[str, str]:
    """The few numbers of a technology that a reader asks for first."""
    return {
        "corner": tech.corner,
        "temperature": f"{tech.temperature:g} K",
        "supply": engineering(tech.supply.vdd, "V"),
        "swing": f"±{engineering(tech.supply.swing, 'V')}",
        "largest coupling": engineering(tech.coupling.g_max, "S"),
    }


def _limits(annealed: Annealed) -> Html:
    limits = join(tag("li", line) for line in LIMITS)
    assumed = join(tag("li", line) for line in annealed.energy.assumed)
    return section("Limits", tag("ul", limits), tag("h3", "Taken for granted in the joules"), tag("ul", assumed))


def _versions() -> Html:
    named = {
        "dsmachine": __version__,
        "Python": platform.python_version(),
        "NumPy": np.__version__,
        "SciPy": scipy.__version__,
        "h5py": h5py.__version__,
    }
    return text(" · ".join(f"{name} {number}" for name, number in named.items()))


# --- values -------------------------------------------------------------------------------------------


def _value(value: Any) -> Html:
    return text("; ".join(_said(value)))


def _said(value: Any) -> Iterator[str]:
    """A value in words: numbers with four digits, arrays by their shape."""
    if isinstance(value, bool | np.bool_):
        yield "yes" if value else "no"
    elif isinstance(value, float | np.floating):
        yield f"{value:.4g}"
    elif isinstance(value, np.ndarray):
        yield f"array {value.shape}"
    elif isinstance(value, Mapping):
        yield ", ".join(f"{k}: {_value(v)}" for k, v in value.items())
    elif isinstance(value, list | tuple):
        yield ", ".join(str(v) for v in value)
    else:
        yield "–" if value is None else str(value)


def _words(key: str) -> str:
    return str(key).replace("_", " ")


def _joules(value: float) -> str:
    return engineering(value, "J") if value else "–"


def _percent(share: float | int | None) -> str:
    """A share of positions; none where no position is clear."""
    return "–" if share is None else f"{share:.0%}"


def _share(value: float) -> str:
    return f"{value:.1%}" if value >= 5e-4 else ("< 0.1%" if value else "–")


def _seconds(value: float | None) -> str:
    return "–" if value is None or not np.isfinite(value) else engineering(value, "s")


__all__ = ["LIMITS", "write_report"]
