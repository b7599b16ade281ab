"""Hook of mkdocs: what the documentation shows beside its own pages.

    ](../benchmarks/results/gpu.md)    a page or file of the repository that a page links to becomes one of the site
    <!-- README: Limits -->            a section of the README, as if it stood there
    <!-- commands -->                  the command line's reference, from the commands themselves

Text files that are no Markdown are shown as code, folders as a list of what is in them.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.structure.files import File, Files, InclusionLevel

from dsmachine.commands import COMMANDS, main

ROOT = Path(__file__).resolve().parents[1]
FOLDER = "repository"  # of the site, where such files stand
AS_IT_IS = {".md", ".png", ".json", ".ipynb"}
LINK = re.compile(r"(?<=\]\()([^)#\s]+)(#[^)\s]*)?(?=\))")
SECTION = re.compile(r"<!-- README: (.*?) -->")
LANGUAGES = {".py": "python", ".toml": "toml", ".sh": "bash"}


def on_files(files: Files, config: Any, **_: Any) -> Files:
    """Add what pages link to outside of docs/, and what that links to in turn."""
    waiting = [ROOT / "docs" / file.src_uri for file in files.documentation_pages()]
    while waiting:
        page = waiting.pop()
        for target in _linked(page, page.read_text(encoding="utf-8")):
            if not target.exists():
                continue  # mkdocs says so, with the page's name
            uri = _place(target)
            if uri.startswith(FOLDER) and files.get_file_from_path(uri) is None:
                files.append(_added(target, uri, config))
                waiting += [target] if target.suffix == ".md" else []
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Turn links to files of the repository into links within the site; write the commands."""
    folder = PurePosixPath(page.file.src_uri).parent
    text = _moved(markdown, _origin(page.file.src_uri), folder)
    text = SECTION.sub(lambda match: _moved(_section(match[1]), ROOT / "README.md", folder), text)
    return text.replace("<!-- commands -->", "\n".join(_commands()))


def _moved(text: str, page: Path, folder: PurePosixPath) -> str:
    """Text of a page of the repository with its links as they are from a folder of the site's sources."""

    def moved(match: re.Match[str]) -> str:
        target = _target(page, match[1])
        if target is None or not target.exists():
            return match[0]
        return os.path.relpath(_place(target), folder) + (match[2] or "")

    return LINK.sub(moved, text)


def _section(title: str) -> str:
    """What the README has under a title."""
    return (ROOT / "README.md").read_text(encoding="utf-8").split(f"\n## {title}\n")[1].split("\n## ")[0]


def _linked(page: Path, text: str) -> Iterator[Path]:
    for match in LINK.finditer(text):
        target = _target(page, match[1])
        if target is not None:
            yield target


def _target(page: Path, link: str) -> Path | None:
    """The file that a link of a page means; None if it leads out of the repository."""
    if re.match(r"[a-z]+:", link):
        return None
    target = Path(os.path.normpath(page.parent / link))
    return target if target.is_relative_to(ROOT) else None


def _place(target: Path) -> str:
    """Where in the site's sources a file of the repository stands."""
    path = target.relative_to(ROOT).as_posix()
    if target.is_relative_to(ROOT / "docs"):
        return target.relative_to(ROOT / "docs").as_posix()
    if target.is_dir():
        return f"{FOLDER}/{path}/index.md"
    return f"{FOLDER}/{path}" if target.suffix in AS_IT_IS else f"{FOLDER}/{path}.md"


def _origin(uri: str) -> Path:
    """The file of the repository that stands at a place of the site's sources."""
    if not uri.startswith(f"{FOLDER}/"):
        return ROOT / "docs" / uri
    path = ROOT / uri.removeprefix(f"{FOLDER}/")
    return path if path.exists() else path.with_suffix("")


def _added(target: Path, uri: str, config: Any) -> File:
    """A file of the site, of a file or folder of the repository."""
    if target.is_file() and target.suffix in AS_IT_IS:
        return File.generated(config, uri, abs_src_path=str(target), inclusion=InclusionLevel.NOT_IN_NAV)
    name = target.relative_to(ROOT).as_posix()
    head = f"---\ntitle: {name}\nsearch:\n  exclude: true\n---\n\n# `{name}`\n\n"
    if target.is_dir():
        shown = (path.name for path in sorted(target.iterdir()) if not path.name.startswith((".", "_")))
        body = "\n".join(f"- `{name}`" for name in shown)
    else:
        code = target.read_text(encoding="utf-8").rstrip("\n")
        body = f"`````{LANGUAGES.get(target.suffix, 'text')}\n{code}\n`````"
    return File.generated(config, uri, content=head + body + "\n", inclusion=InclusionLevel.NOT_IN_NAV)


def _commands() -> Iterator[str]:
    """Every command as its --help has it."""
    for command in COMMANDS:
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            main([command.__name__, "--help"])
        yield f"## dsmachine {command.__name__}\n\n```text\n{said.getvalue().strip()}\n```\n"
