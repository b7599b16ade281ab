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

import contextlib
import gc
import importlib
import inspect
import logging
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from ..circuits.checkpoints import find_model, load_config
from ..circuits.config import Config
from ..circuits.errors import Error
from ..circuits.families import parameters
from .power_meter import PowerMeter, power_meter

log = logging.getLogger(__name__)
Step = Callable[[], Any]
WARM = 3  # steps before any is timed
AGREE = 0.02  # of the largest logit: what a recorded graph may differ by
NO_METER = "none: NVML does not answer for this device"
SIGMA = 0.02  # of random weights, as both families begin with
PRECISIONS = ("bfloat16", "float16", "float32")


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


class Device:
    """Where the steps run: "cpu", "cuda" or "cuda:1"; `name` as its maker calls it."""

    def __init__(self, text: str) -> None:
        self.torch = needed("torch")
        kind, _, number = text.partition(":")
        if kind not in ("cuda", "cpu") or not (number or "0").isdecimal():
            raise Error(f"device {text!r} is unknown: use cuda, cuda:1 or cpu")
        self.is_gpu = kind == "cuda"
        self.place = self.torch.device(kind, int(number or 0))
        if self.is_gpu:
            self._open(text)

    def _open(self, text: str) -> None:
        count = self.torch.cuda.device_count() if self.torch.cuda.is_available() else 0
        if self.place.index >= count:
            found = f"PyTorch finds {count or 'no'} GPU{'s' if count > 1 else ''}"
            raise Error(f"baseline on {text!r}: {found}: run it where there is one, or give --device cpu")
        self.torch.cuda.set_device(self.place)
        self.torch.zeros(1, device=self.place)  # idle power is that of a GPU that has a context

    @property
    def name(self) -> str:
        """Of the GPU, or of the processor's architecture."""
        return str(self.torch.cuda.get_device_name(self.place)) if self.is_gpu else f"{os.uname().machine} processor"

    def wait(self) -> None:
        """Until all that was launched is done."""
        if self.is_gpu:
            self.torch.cuda.synchronize()

    @contextlib.contextmanager
    def meter(self) -> Iterator[PowerMeter | None]:
        """Its joules, if anything counts them."""
        if not self.is_gpu:
            yield None
            return
        uuid = str(self.torch.cuda.get_device_properties(self.place).uuid)
        with power_meter(uuid if uuid.startswith("GPU-") else f"GPU-{uuid}") as found:
            yield found

    def precision(self, asked: str | None) -> str:
        """What was asked for; else bfloat16 on a GPU (float16 where it has none), float32 on a processor."""
        if asked is not None:
            if asked not in PRECISIONS:
                raise Error(f"precision {asked!r} is unknown: use {', '.join(PRECISIONS)}")
            return asked
        if not self.is_gpu:
            return "float32"
        return "bfloat16" if self.torch.cuda.is_bf16_supported() else "float16"

    def check_room(self, name: str, config: Config, precision: str) -> None:
        """Error where the weights alone do not fit."""
        if not self.is_gpu:
            return
        need = parameters(config) * getattr(self.torch, precision).itemsize
        free, _ = self.torch.cuda.mem_get_info()
        if need > free:
            raise Error(
                f"{name} needs {need / 1e9:.1f} GB for its weights in {precision}, {self.name} has {free / 1e9:.1f} GB "
                "free: leave it out, or take a larger GPU"
            )


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
        rows: list[Row] = []
        for path, name, config in sizes:
            progress(name)
            rows += _rows(path, name, config, place, meter, kept, tokens, list(batches), seconds)
    return {
        "device": place.name,
        "idle_watts": idle,
        "energy_source": meter.source if meter else NO_METER,
        "rows": [asdict(row) for row in rows],
        "versions": versions,
    }


def needed(package: str) -> Any:
    """A package that only the baseline needs."""
    try:
        return importlib.import_module(package)
    except ImportError:
        raise Error(f"baseline needs {package}, which is not installed: pip install torch transformers") from None


def _idle(meter: PowerMeter | None, seconds: float = 2.0) -> float | None:
    """Watts of a GPU that has a context and nothing to do."""
    if meter is None:
        return None
    before, begun = meter.joules(), time.perf_counter()
    time.sleep(seconds)
    return (meter.joules() - before) / (time.perf_counter() - begun)


def _rows(
    path: str,
    name: str,
    config: Config,
    place: Device,
    meter: PowerMeter | None,
    precision: str,
    tokens: int,
    batches: list[int],
    seconds: float,
) -> Iterator[Row]:
    """Every row of one model, which is gone afterwards."""
    model, weights = torch_model(path, config, place, precision)
    for batch in batches:
        ids = place.torch.randint(config.vocabulary, (batch, tokens), device=place.place)
        for phase, step, answered in (("prefill", prefill(model, ids), tokens), ("decode", decode(model, ids), 1)):
            for launch, run in _launches(step, place, f"{name} {phase}"):
                steps, took, joules = repeated(run, place, meter, seconds)
                share = steps * batch * answered
                yield Row(
                    name, phase, tokens, batch, precision, launch, weights, steps, took / steps, took / share,
                    None if joules is None else joules / share,
                    None if joules is None else joules / took,
                    meter.source if meter else NO_METER,
                )  # fmt: skip
    del model, step, run
    gc.collect()
    if place.is_gpu:
        place.torch.cuda.empty_cache()


def torch_model(path: str, config: Config, place: Device, precision: str) -> tuple[Any, str]:
    """(the transformers model on the device, where its weights are from)."""
    transformers = needed("transformers")
    dtype = getattr(place.torch, precision)
    folder = find_model(path)
    if folder is not None and any(folder.glob("*.safetensors")):
        options = {"dtype": dtype, "local_files_only": True, "use_safetensors": True}
        model = transformers.AutoModelForCausalLM.from_pretrained(folder, **options)
        return model.to(place.place).eval(), "its own"
    with place.place:  # made where they are used: drawing 7e9 numbers on a processor takes minutes
        model = transformers.AutoModelForCausalLM.from_config(hf_config(config), dtype=dtype)
    return model.eval(), f"random, σ {SIGMA}"


def hf_config(config: Config) -> Any:
    """The same sizes as transformers writes them."""
    transformers = needed("transformers")
    if config.family == "gpt2":
        return transformers.GPT2Config(
            n_layer=config.layers, n_embd=config.width, n_head=config.heads, n_positions=config.context,
            vocab_size=config.vocabulary, layer_norm_epsilon=config.epsilon,
            activation_function={"gelu": "gelu_new"}.get(config.activation, config.activation), initializer_range=SIGMA,
            bos_token_id=None, eos_token_id=None,
        )  # fmt: skip
    shared = {
        "hidden_size": config.width, "num_hidden_layers": config.layers, "num_attention_heads": config.heads,
        "max_position_embeddings": config.context, "vocab_size": config.vocabulary, "tie_word_embeddings": config.tied,
        "bos_token_id": None, "eos_token_id": None, "pad_token_id": None,
    }  # fmt: skip
    if config.family == "opt":
        own = {"ffn_dim": config.inner, "word_embed_proj_dim": config.width, "init_std": SIGMA}
        return transformers.OPTConfig(**shared, **own, activation_function=config.activation)
    return transformers.LlamaConfig(
        **shared, intermediate_size=config.inner, num_key_value_heads=config.kv_heads, head_dim=config.head_width,
        rms_norm_eps=config.epsilon, hidden_act=config.activation, initializer_range=SIGMA,
    )  # fmt: skip


def prefill(model: Any, ids: Any) -> Step:
    """Logits (batch, tokens, vocabulary) of all tokens."""
    return lambda: model(input_ids=ids, use_cache=False).logits


def decode(model: Any, ids: Any) -> Step:
    """Logits (batch, 1, vocabulary) of one token after those of `ids`, whose keys and values are kept: the same step
    whenever it is called."""
    torch, cache = needed("torch"), needed("transformers").DynamicCache()
    known = inspect.signature(model.forward).parameters
    keeping = {"cache" if "cache" in known else "past_key_values": cache, "use_cache": True}  # its newer name
    with torch.inference_mode():
        model(input_ids=ids, **keeping)
    kept = [(layer.keys, layer.values) for layer in cache.layers]
    token = ids[:, :1].contiguous()

    def step() -> Any:
        logits = model(input_ids=token, **keeping).logits
        for layer, (keys, values) in zip(cache.layers, kept, strict=True):
            layer.keys, layer.values = keys, values
        return logits

    return step


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
    miss = float((found - wanted.float()).abs().max() / wanted.float().abs().max())
    if not miss <= AGREE:
        raise RuntimeError(f"its logits differ by {miss:.2g} of the largest")
    return replay


def repeated(step: Step, place: Device, meter: PowerMeter | None, seconds: float) -> tuple[int, float, float | None]:
    """(steps, seconds, joules) of a loop of at least so many seconds, after some steps to warm up."""
    for _ in range(WARM):
        step()
    place.wait()
    begun = time.perf_counter()
    for _ in range(WARM):
        step()
    place.wait()
    steps = max(WARM, math.ceil(seconds * WARM / (time.perf_counter() - begun)))
    before, begun = meter.joules() if meter else None, time.perf_counter()
    for _ in range(steps):
        step()
    place.wait()
    took = time.perf_counter() - begun
    return steps, took, None if meter is None or before is None else meter.joules() - before
