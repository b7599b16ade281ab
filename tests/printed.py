"""What README and docs print: blocks that run, commands that exist.

    <!-- a test runs this … -->      before a python or sh block: all such of a page run, in order, in one folder

Lines of other blocks, and inline code, are looked through for commands and their options.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import typer.main

from dsmachine.commands import app

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
MARKED = re.compile(r"<!-- a test runs this[^>]*-->\n```(python|sh)\n(.*?)```", re.S)
FENCED = re.compile(r"^( *)```\w*\n(.*?)^\1```", re.S | re.M)
INLINE = re.compile(r"`([^`\n]+)`")
LINKED = re.compile(r"\]\(([^)#\s]+)")


def marked(page: Path) -> list[tuple[str, str]]:
    """Language and text of the blocks that run."""
    return MARKED.findall(page.read_text(encoding="utf-8"))


def commands(page: Path) -> Iterator[list[str]]:
    """Words of every `dsmachine …` and `python FILE …` line of a page, without its comment."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    fenced = [line.strip() for _, block in FENCED.findall(text) for line in block.splitlines()]
    indented = [line.strip() for line in text.splitlines() if line.startswith("    ")]
    for line in dict.fromkeys([*fenced, *indented, *INLINE.findall(text)]):
        line = line.removeprefix("$ ").replace(".venv/bin/", "")
        if re.match(r"(dsmachine|python) +[a-z-]", line) and "…" not in line.split("#")[0]:
            yield shlex.split(line.split("|")[0], comments=True)


def wrong(words: list[str]) -> str | None:
    """What is wrong with a command, if anything."""
    return _wrong_command(words[1:]) if words[0] == "dsmachine" else _wrong_script(words[1:])


def _wrong_command(words: list[str]) -> str | None:
    if words[0].startswith("-"):
        return None
    known = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    if words[0] not in known:
        return f"no command {words[0]!r}"
    spelled = {name for p in known[words[0]].params for name in (*p.opts, *p.secondary_opts)} | {"--help", "-h"}
    missing = [word for word in words[1:] if _is_option(word) and word.partition("=")[0] not in spelled]
    return f"{words[0]} has no {', '.join(missing)}" if missing else None


def _wrong_script(words: list[str]) -> str | None:
    if not words[0].endswith(".py"):
        return None
    script = ROOT / words[0]
    if not script.is_file():
        return f"no file {words[0]!r}"
    text = "".join(file.read_text(encoding="utf-8") for file in [script, *script.parent.rglob("*.py")])
    missing = [word for word in words[1:] if _is_option(word) and f'"{word.partition("=")[0]}"' not in text]
    return f"{words[0]} has no {', '.join(missing)}" if missing else None


def _is_option(word: str) -> bool:
    return re.match(r"--?[a-z]", word) is not None
