"""`dsmachine report`: the paper's tables with what stands beside them, as Markdown, CSV, LaTeX or one HTML page.

CSV is long form, a value a line, with the assumptions in each; the others are tables as the paper prints them, with
numbered notes that say what each row rests on.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from . import __version__
from .energy.published import published
from .energy.rows import AVERAGE, Row
from .report_html import Html, page, picture, section, table, tag

TITLES = {
    "1": "Accuracy",
    "2": "Training: time and energy",
    "3": "Inference: time and energy",
    "4": "Llama2-7B beside low-precision CPUs and edge devices",
    "7": "Inference: first token, token rate, energy efficiency",
}
SOURCES = (
    "printed: the paper; recomputed: from the paper's own rule, or from counted operations; emulated: by this "
    "emulator, under the assumptions noted; measured: on the GPU named"
)
EMPTY = "–"
UPRIGHT = 6  # columns of numbers whose names still stand side by side on a page


@dataclass(frozen=True)
class Grid:
    """A table for people. names: leading columns that are words; the other cells are numbers, as text."""

    title: str
    head: Sequence[str]
    cells: Sequence[Sequence[str]]
    names: int


@dataclass(frozen=True)
class Layout:
    """Grids of one of the paper's tables, and the notes that their last column numbers."""

    title: str
    grids: Sequence[Grid]
    notes: Sequence[str]


def layouts(rows: Sequence[Row]) -> list[Layout]:
    """Tables for people, in the order of the rows."""
    found = []
    for number in dict.fromkeys(row.table for row in rows):
        own = [row for row in rows if row.table == number]
        notes = list(dict.fromkeys(said for row in own for said in row.assumptions))
        by_task = [row for row in own if row.task not in ("", AVERAGE)]
        averages = [row for row in own if row.task == AVERAGE]
        plain = [row for row in own if not row.task]
        whole = [row for row in plain if not row.item]
        items = [row for row in plain if row.item]
        grids = [
            *([_by_task(by_task, notes)] if by_task else []),
            *([_averages(averages, notes)] if averages else []),
            *([_by_quantity("By system", whole, notes)] if whole else []),
            *([_by_quantity("What a sequence takes, item by item", items, notes)] if items else []),
        ]
        found.append(Layout(f"Table {number}. {TITLES[number]}", grids, notes))
    return found


def _by_task(rows: Sequence[Row], notes: Sequence[str]) -> Grid:
    tasks = list(dict.fromkeys(row.task for row in rows))
    lines: dict[tuple[str, ...], dict[str, str]] = {}
    for row in rows:
        key = (row.model, row.system, row.source, f"{row.quantity} ({row.unit})", _note(row, notes))
        lines.setdefault(key, {})[row.task] = number(row.value)
    cells = [[*key[:4], *(line.get(task, "") for task in tasks), key[4]] for key, line in lines.items()]
    return Grid("By task", ["model", "system", "source", "quantity", *tasks, "note"], cells, 4)


def _averages(rows: Sequence[Row], notes: Sequence[str]) -> Grid:
    cells = [[r.model, r.system, r.source, r.quantity, f"{_ratio(r.value)} {r.unit}", _note(r, notes)] for r in rows]
    return Grid("Gains over the printed GPUs", ["model", "system", "source", "quantity", "mean", "note"], cells, 4)


def _ratio(value: float | None) -> str:
    """To the unit, as the paper has gains; small ones and losses in three digits.

    >>> _ratio(1238.4), _ratio(0.41)
    ('1,238', '0.41')
    """
    return number(value) if value is None or value < 100 else f"{value:,.0f}"


def _by_quantity(title: str, rows: Sequence[Row], notes: Sequence[str]) -> Grid:
    quantities = list(dict.fromkeys(f"{row.quantity} ({row.unit})" for row in rows))
    lines: dict[tuple[str, ...], dict[str, str]] = {}
    marks: dict[tuple[str, ...], list[int]] = {}
    for row in rows:
        key = (row.model, row.system, row.source)
        lines.setdefault(key, {})[f"{row.quantity} ({row.unit})"] = number(row.value)
        marks.setdefault(key, []).extend(notes.index(said) + 1 for said in row.assumptions)
    cells = [[*key, *(line.get(name, "") for name in quantities), ranges(marks[key])] for key, line in lines.items()]
    return Grid(title, ["model", "system", "source", *quantities, "note"], cells, 3)


def _note(row: Row, notes: Sequence[str]) -> str:
    return ranges(notes.index(said) + 1 for said in row.assumptions)


def ranges(numbers: Iterable[int]) -> str:
    """Numbers in order, three and more in a row by their ends.

    >>> ranges([5, 2, 3, 4, 9, 8])
    '2–5, 8, 9'
    """
    runs: list[list[int]] = []
    for each in sorted(set(numbers)):
        if runs and each == runs[-1][-1] + 1:
            runs[-1].append(each)
        else:
            runs.append([each])
    return ", ".join(f"{run[0]}–{run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs)


def number(value: float | None) -> str:
    """Three digits, halves up as the paper rounds.

    >>> number(0.00204), number(0.01215), number(1021.02), number(None)
    ('2.04e-03', '0.0122', '1,020', '–')
    """
    if value is None:
        return EMPTY
    exact = Decimal(repr(value))
    three = float(exact.quantize(Decimal(1).scaleb(exact.adjusted() - 2), ROUND_HALF_UP))
    if 1000 <= abs(three) < 1e6:
        return f"{three:,.0f}"
    return f"{three:.3g}" if 0.01 <= abs(three) < 1000 else f"{three:.2e}"


# --- formats ----------------------------------------------------------------------------------------


def as_csv(rows: Iterable[Row]) -> str:
    """Long form: a header, then a value a line."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = [field.name for field in fields(Row)]
    writer.writerow(names)
    for row in rows:
        cells = {name: getattr(row, name) for name in names}
        cells["value"] = "" if row.value is None else f"{row.value:.6g}"
        writer.writerow((cells | {"assumptions": "; ".join(row.assumptions)}).values())
    return text.getvalue()


def as_markdown(found: Sequence[Layout]) -> str:
    """Tables with notes."""
    lines = [f"Sources. {SOURCES}.", ""]
    for layout in found:
        lines += [f"## {layout.title}", ""]
        for grid in layout.grids:
            lines += [_markdown_row(grid.head), "|" + "---|" * grid.names + "---:|" * (len(grid.head) - grid.names)]
            lines += [*(_markdown_row(cells) for cells in grid.cells), ""]
        lines += [f"{k}. {note}" for k, note in enumerate(layout.notes, start=1)]
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _markdown_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "×": r"$\times$", "σ": r"$\sigma$", "µ": r"$\mu$",
    "·": r"$\cdot$", "–": "--", "τ": r"$\tau$", "Σ": r"$\Sigma$", "²": "$^2$", "±": r"$\pm$", "−": "$-$",
    "°": r"$^\circ$", "Ω": r"$\Omega$", "η": r"$\eta$", "⌈": r"$\lceil$", "⌉": r"$\rceil$",
}  # fmt: skip


def as_latex(found: Sequence[Layout]) -> str:
    """Tables for a paper; needs the packages booktabs and graphicx. ASCII only."""
    lines = [f"% dsmachine {__version__}; \\usepackage{{booktabs,graphicx}}", f"% {_ascii(SOURCES)}"]
    for layout in found:
        for grid in layout.grids:
            columns = "l" * grid.names + "r" * (len(grid.head) - grid.names)
            caption = f"The paper's {_lowered(layout.title)}. {grid.title}."
            lines += [r"\begin{table}[htbp]", rf"\caption{{{_latex(caption)}}}"]
            lines += [rf"\resizebox{{\linewidth}}{{!}}{{\begin{{tabular}}{{{columns}}}", r"\toprule"]
            lines += [_latex_head(grid), r"\midrule", *(_latex_row(c) for c in grid.cells)]
            lines += [r"\bottomrule", r"\end{tabular}}", r"\end{table}"]
        if layout.notes:
            lines += [rf"\paragraph{{Notes to {_latex(_lowered(layout.title))}}}"]
            lines += [r"\begin{enumerate}", *(rf"\item {_latex(note)}" for note in layout.notes), r"\end{enumerate}"]
    return "\n".join(lines) + "\n"


def _lowered(title: str) -> str:
    """A title within a sentence.

    >>> _lowered("Table 2. Training")
    'table 2. Training'
    """
    return f"{title[0].lower()}{title[1:]}"


def _latex_head(grid: Grid) -> str:
    """Names of columns; those of numbers turned where they would make a table too wide to read."""
    words, numbers = grid.head[: grid.names], grid.head[grid.names :]
    if len(numbers) <= UPRIGHT:
        return _latex_row(grid.head)
    turned = [rf"\rotatebox{{70}}{{{_latex(name)}}}" for name in numbers]
    return " & ".join([*(_latex(name) for name in words), *turned]) + r" \\"


def _latex_row(cells: Sequence[str]) -> str:
    return " & ".join(_latex(cell) for cell in cells) + r" \\"


def _latex(text: str) -> str:
    return _ascii("".join(LATEX.get(c, c) for c in text))


def _ascii(text: str) -> str:
    """What LaTeX takes from any engine; names of runs are anybody's text."""
    return " ".join(text.split()).encode("ascii", "replace").decode()


def as_html(found: Sequence[Layout], pictures: Mapping[str, Any]) -> str:
    """One page. pictures: caption → Figure."""
    parts = [section(layout.title, *_html_of(layout)) for layout in found]
    head = tag(
        "header", tag("h1", "The paper's tables"), tag("div", f"dsmachine {__version__}. {SOURCES}.", cls="muted")
    )
    shown = section("Pictures", *(picture(figure, caption) for caption, figure in pictures.items())) if pictures else ""
    how = section("How the rule was found", tag("p", published().rule.how))
    return page("dsmachine report", head, *parts, shown, how)


def _html_of(layout: Layout) -> list[Html]:
    found: list[Html] = []
    for grid in layout.grids:
        found += [tag("h3", grid.title), table(grid.head, grid.cells, words=grid.names, wide=True)]
    return [*found, tag("ol", *(tag("li", note) for note in layout.notes), cls="muted")]


__all__ = ["Grid", "Layout", "as_csv", "as_html", "as_latex", "as_markdown", "layouts"]
