"""The same circuits, the same run, equal measured error: our engines and solvers that are not ours.

    python benchmarks/rivals.py --device numpy      # pin it: OPENBLAS_NUM_THREADS=1 taskset -c 0
    python benchmarks/rivals.py --device cupy       # GPT-2's shape, 1 x 128 tokens; JAX on the same GPU

Every array relaxes from zero until the logits have settled to 8 bits. Of each solver's settings, loose to tight, the
first counts whose strict NRMSE against a converged reference is at most `--error`; all that were tried are in the JSON.
Our seconds are those of a whole run: operating point, relaxation, error control, and the watch that ends it; others are
told when to stop, and compiling is not counted (`compile_s`). `times elements` compares processor seconds, which others
on shared cores hardly stretch; on a GPU wall seconds. "tails at rest": the same machine whose softmax tails follow at
once, which takes the stiffest nodes away; `reduced` is what that changes, as NRMSE.

Solvers: elements, stepper (ours); euler (array by array, NumPy or CUDA graph); xla (forward Euler by JAX, layers
batched); tsit5, bosh3, kvaerno5 (diffrax, layers batched); radau (SciPy); ngspice; neospice. One that is not installed,
or for which a circuit is too large, is left out and says so. A run that would take longer than --cap seconds is given
up. Seconds of what misses the error, and those told by the beginning of a run that was given up, stand in brackets.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import math
import shutil
import sys
from collections.abc import Callable, Iterator

from common import nrmse, save, seconds_of, waiting
from outside import explicit
from outside.cases import Case, Row, first_within, left_out, make_case, row

import dsmachine as ds
from dsmachine.emulator.observers import Probe

CASES = {
    "numpy": [
        "tile-64",
        "tile-256",
        "block, tails at rest",
        "block",
        "small, tails at rest",
        "small",
        "bundled, tails at rest",
        "bundled",
    ],
    "cupy": ["gpt2, tails at rest", "gpt2"],
}
TOLERANCES = (1e-2, 5e-3, 2e-3, 1e-3, 5e-4, 2e-4, 1e-4)
STEPS = (1.0, 0.5, 0.25, 0.125, 0.0625)
SHARES = (20, 40, 80, 160, 320, 640, 1280, 2560)
ADAPTIVE = tuple((rtol, rtol / 10) for rtol in (1e-2, 3e-3, 1e-3, 5e-4, 2e-4, 1e-4, 1e-5))
RADAU = (1e-2, 1e-3, 1e-4, 1e-5)
KVAERNO_NODES = 1500
CONVERGED = {"tolerance": 1e-5, "points": 8}


def elements(case: Case, precision: str, options: argparse.Namespace) -> Iterator[Row]:
    """Finite elements until settled; on a GPU replayed, and adaptive beside it."""
    plan, wait = case.plan(precision), waiting(case.device)
    replays = 2 if case.device == "cupy" else 0
    for tolerance in TOLERANCES:
        choices = {"accuracy": "waveform", "tolerance": tolerance}
        probe = Probe(case.index, times=case.times)
        ds.transient(plan, case.inputs, duration=case.end * 1.01, settle_bits=0, observers=[probe], **choices)
        task = lambda c=choices: ds.transient(plan, case.inputs, **c)  # noqa: E731
        wall, first, run = seconds_of(task, wait, options.repeats, replays)
        found = row(
            case, "elements", f"tolerance {tolerance:g}", precision, wall, probe, steps=run.statistics["points"]
        )
        if replays:
            found |= {"adaptive_s": first.wall, "note": "replayed" if run.statistics.get("replayed") else "adaptive"}
        yield found


def stepper(case: Case, precision: str, options: argparse.Namespace) -> Iterator[Row]:
    """Our exponential stepper, to the same end."""
    plan, wait = case.plan(precision), waiting(case.device)
    for step in STEPS:
        probe = Probe(case.index, times=case.times)
        choices = {"method": "stepper", "step": step, "duration": case.end, "settle_bits": 0}
        ds.transient(plan, case.inputs, observers=[probe], **choices)
        task = lambda c=choices: ds.transient(plan, case.inputs, **c)  # noqa: E731
        wall, _, run = seconds_of(task, wait, 1, 0)
        yield row(case, "stepper", f"step {step:g}", precision, wall, probe, steps=run.statistics["steps"])
        if case.clock(wall) > options.cap:
            return


def euler(case: Case, precision: str, options: argparse.Namespace) -> Iterator[Row]:
    return explicit.euler(case, precision, SHARES, options.cap)


def radau(case: Case, precision: str, options: argparse.Namespace) -> Iterator[Row]:
    return explicit.radau(case, RADAU, options.cap)


def xla(case: Case, precision: str, options: argparse.Namespace) -> Iterator[Row]:
    from outside import in_jax

    return in_jax.euler(case, precision, SHARES, options.cap, options.repeats)


def tsit5(case: Case, precision: str, options: argparse.Namespace) -> Iterator[Row]:
    from outside import in_jax

    return in_jax.adaptive(case, precision, "Tsit5", ADAPTIVE, options.cap, options.repeats)


def bosh3(case: Case, precision: str, options: argparse.Namespace) -> Iterator[Row]:
    from outside import in_jax

    return in_jax.adaptive(case, precision, "Bosh3", ADAPTIVE, options.cap, options.repeats)


def kvaerno5(case: Case, precision: str, options: argparse.Namespace) -> Iterator[Row]:
    from outside import in_jax

    if case.nodes > KVAERNO_NODES:
        return iter([left_out(case, "diffrax Kvaerno5", precision, f"{case.nodes} nodes, dense matrices")])
    return in_jax.adaptive(case, precision, "Kvaerno5", ADAPTIVE, options.cap, 1)


def ngspice(case: Case, precision: str, options: argparse.Namespace) -> Iterator[Row]:
    from outside import spice

    return spice.simulated(case, "ngspice", options.cap)


def neospice(case: Case, precision: str, options: argparse.Namespace) -> Iterator[Row]:
    from outside import spice

    return spice.simulated(case, "neospice", options.cap)


SOLVERS = {f.__name__: f for f in (elements, stepper, euler, xla, tsit5, bosh3, kvaerno5, radau, ngspice, neospice)}
ONE_PRECISION = ("kvaerno5", "radau", "ngspice", "neospice")
NEEDS = {name: ("jax", "diffrax") for name in ("xla", "tsit5", "bosh3", "kvaerno5")} | {"neospice": ("neospice",)}


def missing(solver: str) -> str:
    """What a solver needs and is not here."""
    if solver == "ngspice" and not (shutil.which("ngspice") and importlib.util.find_spec("PySpice")):
        return "ngspice, PySpice"
    return ", ".join(name for name in NEEDS.get(solver, ()) if importlib.util.find_spec(name) is None)


def leave_out(options: argparse.Namespace) -> None:
    """Take the solvers that are not installed off the list, loudly."""
    for name in [name for name in options.solvers if missing(name)]:
        sys.stderr.write(f"LEFT OUT: {name} needs {missing(name)}, which is not here\n")
        options.solvers.remove(name)


def versions() -> dict[str, str]:
    found = {}
    for name in ("scipy", "jax", "diffrax", "neospice", "cupy"):
        if importlib.util.find_spec(name):
            found[name] = __import__(name).__version__ if name != "neospice" else importlib.metadata.version(name)
    return found


def chosen(tried: list[Row], error: float) -> Row:
    """The fastest setting within the error; else the one that came nearest, or was last given up."""
    within = [r for r in tried if r["nrmse"] <= error]
    return min(within, key=lambda r: r["wall_s"]) if within else min(reversed(tried), key=lambda r: r["nrmse"])


def compared(case: Case, options: argparse.Namespace, keep: Callable[[Row], None]) -> list[Row]:
    """One row a solver and precision, with how often slower it is than our elements in that precision: processor
    seconds, on a GPU wall seconds."""
    best: list[Row] = []
    for name in options.solvers:
        for precision in options.precisions[:1] if name in ONE_PRECISION else options.precisions:
            tried: list[Row] = []

            def note(found: Row, tried: list[Row] = tried) -> None:
                tried.append(found)
                keep(found)
                sys.stdout.write(f"{found}\n")
                sys.stdout.flush()

            first_within(SOLVERS[name](case, precision, options), options.error, note)
            best.append(chosen(tried, options.error))
    clock = "cpu_s" if case.device == "numpy" else "wall_s"
    ours = {r["precision"]: r[clock] for r in best if r["solver"] == "elements"}
    reference = ours.get(options.precisions[0])
    for found in best:
        found["within"] = found["nrmse"] <= options.error
        base = ours.get(found["precision"], reference)
        found["times elements"] = found[clock] / base if base and math.isfinite(found[clock]) else ""
    return best


def shown(found: Row) -> Row:
    """A row of the table: seconds of what misses the error, or was not measured to its end, in brackets."""
    keys = (
        "case", "nodes", "solver", "setting", "precision", "steps", "wall_s", "cpu_s", "compile_s", "adaptive_s",
        "nrmse", "times elements", "note", "reduced",
    )  # fmt: skip
    line = {key: found.get(key, "") for key in keys}
    if not found["within"]:
        for key in ("wall_s", "cpu_s", "times elements"):
            ok = isinstance(line[key], float) and math.isfinite(line[key])
            line[key] = f"({line[key]:.3g})" if ok else ""
        line["nrmse"] = line["nrmse"] if math.isfinite(line["nrmse"]) else ""
    return line


def reduced(case: Case, options: argparse.Namespace) -> float:
    """NRMSE of the machine whose tails are at rest against the one whose tails move, until that has settled."""
    name = case.name.partition(",")[0]
    whole = make_case(name, case.device, tokens=options.tokens, vocabulary=options.vocabulary)
    index = {name: whole.index[name] for name in case.index}
    seen = []
    for plan in (whole.plan(), case.plan()):
        probe = Probe(index, times=whole.times)
        ds.transient(plan, case.inputs, duration=whole.end * 1.01, settle_bits=0, observers=[probe], **CONVERGED)
        seen.append(probe)
    return nrmse(case.circuit, seen[1], seen[0], whole.end)[0]


def device_name(device: str) -> str:
    if device == "numpy":
        return "processor"
    import cupy

    return str(cupy.cuda.runtime.getDeviceProperties(0)["name"].decode())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=list(CASES), default="numpy")
    parser.add_argument("--cases", nargs="*", help='such as small or "gpt2, tails at rest"')
    parser.add_argument("--solvers", nargs="*", default=list(SOLVERS), choices=list(SOLVERS))
    parser.add_argument(
        "--precisions", nargs="*", default=["float32"], help="float32; tf32 on a GPU; float64 (JAX_ENABLE_X64=1)"
    )
    parser.add_argument("--tokens", type=int)
    parser.add_argument("--vocabulary", type=int, help="of random models")
    parser.add_argument("--error", type=float, default=1e-3, help="NRMSE that each solver has to hold")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--cap", type=float, default=60.0, help="seconds that one run may take")
    parser.add_argument("--name", help="of the result files")
    options = parser.parse_args()
    leave_out(options)
    tried: list[Row] = []
    table: list[Row] = []
    about = {"device": device_name(options.device), "versions": versions(), "error": options.error}
    for name in options.cases or CASES[options.device]:
        case = make_case(name, options.device, tokens=options.tokens, vocabulary=options.vocabulary)
        more = {"nodes": case.nodes, "end_ns": case.end * 1e9}
        best = compared(case, options, tried.append)
        if "," in name:
            best[0]["reduced"] = reduced(case, options)
        table += [shown(found | more) for found in best]
        save(options.name or f"rivals_{options.device}", table, **about, tried=tried)


if __name__ == "__main__":
    main()
