"""The same model on a GPU: seconds and joules a token, by PyTorch and transformers, which are imported when used.

    prefill    N tokens at once, logits at every one of them, as the parallel machine settles them
    decode     one token more, with keys and values of N tokens kept

    seconds a token = seconds of a step / (batch × tokens that it answers),   joules likewise

A step is repeated for a second or more; its joules are the whole board's in that time, idle power included. Each is
done launch by launch as Python calls it ("eager"), and as one recorded CUDA graph ("graph"), which small models need:
their launches cost more than their work. Weights are a folder's, or random ones made on the device: time does not
depend on them. The file that stands beside the emulated machine is made by

    dsmachine baseline gpt2 gpt2-medium opt-1.3b opt-2.7b llama2-7b -o baseline.json     # some two minutes
"""

from __future__ import annotations

import gc
import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from ..circuits import checks
from ..circuits.checkpoints import load_config
from ..circuits.config import Config
from ..circuits.errors import Error
from .power_meter import PowerMeter
from .torch_device import Device, needed
from .torch_models import Step, decode, prefill, torch_model

log = logging.getLogger(__name__)
WARM = 3  # steps before any is timed
IDLE = 2.0  # s, over which watts of nothing to do are averaged
AGREE = 0.1  # of the logits' rms: bfloat16 and another kernel for attention make 1.5 % in 32 layers, other inputs 141 %
NO_METER = "none: NVML does not answer for this device"


@dataclass(frozen=True)
class Row:
    """One step of one model, repeated.

    phase: "prefill" or "decode"; tokens: N of each sequence, answered or kept; batch: sequences side by side;
    launch: "eager" or "graph"; step_seconds: of one step, which is the wait for the first (next) token;
    watts: mean power of the loop; joules are None without a meter.
    """

    model: str
    phase: str
    tokens: int
    batch: int
    precision: str
    launch: str
    weights: str
    steps: int
    step_seconds: float
    seconds_per_token: float
    joules_per_token: float | None
    watts: float | None
    energy_source: str


@dataclass(frozen=True)
class Bench:
    """How every model is measured: as `measure` was asked."""

    place: Device
    meter: PowerMeter | None
    precision: str
    tokens: int
    batches: tuple[int, ...]
    seconds: float

    def rows(self, path: str, name: str, config: Config) -> Iterator[Row]:
        """Every row of one model, which is gone afterwards."""
        model, weights = torch_model(path, config, self.place, self.precision)
        for batch in self.batches:
            ids = self.place.torch.randint(config.vocabulary, (batch, self.tokens), device=self.place.place)
            for phase, step, answered in (
                ("prefill", prefill(model, ids), self.tokens),
                ("decode", decode(model, ids), 1),
            ):
                for launch, run in _launches(step, self.place, f"{name} {phase}"):
                    steps, took, joules = repeated(run, self.place, self.meter, self.seconds)
                    share = steps * batch * answered
                    yield Row(
                        name, phase, self.tokens, batch, self.precision, launch, weights, steps,
                        step_seconds=took / steps,
                        seconds_per_token=took / share,
                        joules_per_token=None if joules is None else joules / share,
                        watts=None if joules is None else joules / took,
                        energy_source=self.meter.source if self.meter else NO_METER,
                    )  # fmt: skip
        del model, step, run
        gc.collect()
        if self.place.is_gpu:
            self.place.torch.cuda.empty_cache()


def measure(
    models: Iterable[str],
    *,
    tokens: int = 128,
    batches: Iterable[int] = (1, 8),
    precision: str | None = None,
    device: str = "cuda",
    seconds: float = 1.5,
    progress: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Rows of every model, and the device, its idle power and versions they were measured with; ready for JSON.

    models: shapes, or what `load_config` takes; seconds: that each step is repeated for at least; progress: is told
    what is measured next. Raises Error without PyTorch, transformers or the device, for tokens beyond a model's
    context, and for weights that do not fit.
    """
    checks.number("seconds", seconds, "use 0 or more seconds", least=0)
    place = Device(device)
    versions = {name: str(needed(name).__version__) for name in ("torch", "transformers")}
    kept = place.precision(precision)
    sizes = [(path, *load_config(path)) for path in models]
    for _, name, config in sizes:
        if tokens >= config.context:
            raise Error(f"{name} takes {config.context} tokens, {tokens} and one more are asked for: give fewer tokens")
        place.check_room(name, config, kept)
    if place.is_gpu:
        versions["cuda"] = str(place.torch.version.cuda)
    with place.meter() as meter:
        idle = _idle(meter)
        bench = Bench(place, meter, kept, tokens, tuple(batches), seconds)
        rows: list[Row] = []
        for path, name, config in sizes:
            progress(name)
            rows += bench.rows(path, name, config)
    return {
        "device": place.name,
        "idle_watts": idle,
        "energy_source": meter.source if meter else NO_METER,
        "rows": [asdict(row) for row in rows],
        "versions": versions,
    }


def _idle(meter: PowerMeter | None) -> float | None:
    """Watts of a GPU that has a context and nothing to do."""
    if meter is None:
        return None
    before, begun = meter.joules(), time.perf_counter()
    time.sleep(IDLE)
    return (meter.joules() - before) / (time.perf_counter() - begun)


def _launches(step: Step, place: Device, what: str) -> Iterator[tuple[str, Step]]:
    """The step as Python launches it, then as a recorded graph where there is one."""
    torch = place.torch

    def eager() -> Any:
        with torch.inference_mode():
            return step()

    yield "eager", eager
    if place.is_gpu:
        try:
            recorded = _recorded(eager, torch)
        except RuntimeError as problem:
            log.warning("%s is not recorded as a CUDA graph: %s", what, " ".join(str(problem).split())[:200])
        else:
            yield "graph", recorded


def _recorded(eager: Step, torch: Any) -> Step:
    """The step as one CUDA graph, whose logits are those of the step itself."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):  # libraries set themselves up outside of the recording
        for _ in range(WARM):
            wanted = eager()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        logits = eager()

    def replay() -> Any:
        graph.replay()
        return logits

    found = replay().float()
    miss = float((found - wanted.float()).norm() / wanted.float().norm())
    if not miss <= AGREE:
        raise RuntimeError(f"its logits differ by {miss:.2g} of their rms")
    return replay


def repeated(
    step: Step,
    place: Device,
    meter: PowerMeter | None,
    seconds: float,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[int, float, float | None]:
    """(steps, seconds, joules) of a loop of at least so many seconds by the clock, after some steps to warm up."""
    for _ in range(WARM):
        step()
    place.wait()
    before, begun = meter.joules() if meter else 0.0, clock()
    steps, took, more = 0, 0.0, WARM
    while more > 0:
        for _ in range(more):
            step()
        place.wait()
        steps, took = steps + more, clock() - begun
        more = math.ceil((seconds - took) * steps / took)
    return steps, took, meter.joules() - before if meter else None
