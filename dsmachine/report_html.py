"""HTML by hand for reports: escaped text, tables, tiles and embedded pictures, in one page without scripts."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from .circuits.errors import Error

PNG = b"\x89PNG\r\n\x1a\n"
CSS = """
:root { color-scheme: light dark; --ink: #1f2328; --muted: #59636e; --line: #d9dee3; --page: #ffffff;
  --card: #f5f7f9; --accent: #0072b2; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8ebee; --muted: #a3adb8; --line: #3a424b; --page: #14181d;
  --card: #1e242b; --accent: #56b4e9; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2.5rem 1.25rem 4rem; max-width: 62rem; background: var(--page); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
header { border-bottom: 2px solid var(--accent); padding-bottom: 1rem; margin-bottom: 1.5rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .3rem; }
h2 { font-size: 1.2rem; margin: 2.6rem 0 .7rem; }
h3 { font-size: 1rem; margin: 1.4rem 0 .4rem; }
p { margin: .4rem 0 .8rem; max-width: 46rem; }
.muted, figcaption { color: var(--muted); font-size: .9rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(10.5rem, 1fr)); gap: .75rem; padding: 0; }
.tile { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: .8rem 1rem; }
.tile b { display: block; font-size: 1.35rem; line-height: 1.3; font-variant-numeric: tabular-nums; }
.tile span { color: var(--muted); font-size: .85rem; display: block; line-height: 1.35; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; max-width: 46rem; font-size: .92rem;
  font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .34rem .75rem; border-bottom: 1px solid var(--line); vertical-align: top; }
th { font-weight: 600; } thead th { color: var(--muted); font-size: .84rem; vertical-align: bottom; }
body:has(.wide) { max-width: 78rem; }
thead th.n { white-space: normal; } .wide table { max-width: none; } .wide td { overflow-wrap: normal; }
.wide td, .wide th { padding: .3rem .45rem; font-size: .86rem; }
td.n, th.n { text-align: right; white-space: nowrap; }
tbody th { white-space: nowrap; } .pairs table { max-width: none; }
.pairs th { width: 17rem; white-space: normal; } sup { line-height: 0; }
@media (max-width: 44rem) { .pairs th { width: 38%; } } td { overflow-wrap: anywhere; }
tr.sum th, tr.sum td { border-top: 2px solid var(--muted); border-bottom: 0; font-weight: 600; }
.apart { border-left: 2px solid var(--line); }
pre { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: .7rem 1rem; margin: .3rem 0;
  font: .92rem/1.5 ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace;
  white-space: pre-wrap; overflow-wrap: anywhere; }
pre mark { background: none; color: var(--accent); font-weight: 700; text-decoration: underline; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(18rem, 1fr)); gap: 0 1rem; }
figure { margin: 1rem 0 1.6rem; } figure img { display: block; width: 100%; height: auto;
  background: #fff; border: 1px solid var(--line); border-radius: 8px; padding: .6rem; }
figcaption { margin-top: .4rem; max-width: 46rem; }
footer { margin-top: 3rem; padding-top: 1rem; border-top: 1px solid var(--line); }
@media print { body, body:has(.wide) { max-width: none; padding: 0; } figure, .tile, tr { break-inside: avoid; }
  h2, h3 { break-after: avoid; } .scroll { overflow: visible; }
  .wide td, .wide th { font-size: .6rem; padding: .2rem; } }
"""
# Nothing may be loaded and nothing may run, whatever a prompt or a checkpoint's names hold.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


class Html(str):
    """Text that is HTML already."""


def text(value: object) -> Html:
    """Escaped; characters that do not print are spelled out, except line ends."""
    if isinstance(value, Html):
        return value
    shown = "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in str(value))
    return Html(escape(shown))


def join(parts: Iterable[object]) -> Html:
    """Parts, each escaped unless it is HTML."""
    return Html("".join(text(part) for part in parts))


def tag(name: str, *inside: object, cls: str = "") -> Html:
    """<name class=cls>inside</name>."""
    attribute = f' class="{escape(cls)}"' if cls else ""
    return Html(f"<{name}{attribute}>{join(inside)}</{name}>")


def section(title: str, *inside: object) -> Html:
    """A heading and what follows it."""
    return tag("section", tag("h2", title), *inside)


def note(words: str) -> Html:
    """Words in the margin of a value."""
    return tag("span", " – ", words, cls="muted")


def tile(value: object, label: str) -> Html:
    """A figure that stands out."""
    return tag("div", tag("b", value), tag("span", label), cls="tile")


def pairs(rows: Iterable[tuple[object, object]]) -> Html:
    """A table of names and values."""
    body = join(tag("tr", tag("th", name), tag("td", value)) for name, value in rows)
    return tag("div", tag("table", tag("tbody", body)), cls="scroll pairs")


def table(
    head: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    words: int = 1,
    apart: int = -1,
    total: bool = False,
    wide: bool = False,
) -> Html:
    """Names and numbers a row. words: how many columns are names; apart: column that a line sets off; total: the last
    row is the sum; wide: as wide as the page, for tables of many columns."""
    rows = list(rows)
    lines = [tag("thead", _row(head, "th", words, apart))]
    body = [_row(row, "td", words, apart, "sum" if total and k == len(rows) - 1 else "") for k, row in enumerate(rows)]
    return tag("div", tag("table", *lines, tag("tbody", *body)), cls="scroll wide" if wide else "scroll")


def _row(cells: Sequence[object], kind: str, words: int, apart: int, cls: str = "") -> Html:
    made = [tag("th", cells[0])]
    for k, cell in enumerate(cells[1:], start=1):
        made.append(tag(kind, cell, cls=" ".join(["n"] * (k >= words) + ["apart"] * (k == apart))))
    return tag("tr", *made, cls=cls)


def picture(source: Figure | bytes | str | Path, caption: str) -> Html:
    """A picture inside the page: a Figure, PNG bytes or the path of a PNG."""
    data = base64.b64encode(_png(source)).decode()
    image = Html(f'<img alt="{text(caption)}" src="data:image/png;base64,{data}">')
    return tag("figure", image, tag("figcaption", caption))


def _png(source: Figure | bytes | str | Path) -> bytes:
    if isinstance(source, Figure):
        buffer = io.BytesIO()
        source.savefig(buffer, dpi=150, format="png")
        return buffer.getvalue()
    if isinstance(source, bytes):
        data = source
    else:
        try:
            data = Path(source).read_bytes()
        except (OSError, ValueError) as problem:
            reason = getattr(problem, "strerror", None) or problem
            raise Error(f"picture {source} cannot be read ({reason}): check the path") from problem
    if not data.startswith(PNG):
        raise Error(f"picture {source if not isinstance(source, bytes) else '(bytes)'} is not PNG: save it as .png")
    return data


def page(title: str, *inside: Any) -> str:
    """The whole document."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{text(title)}</title>\n<style>{CSS}</style>\n</head>\n<body>\n{join(inside)}\n</body>\n</html>\n"
    )
