"""Check and time all presets on a GPU, in one go: parity, speed, parts, masks, and how far all is from the roofline.

    python benchmark/gpu.py --output results --max-minutes 9

Needs no network and, beside PyTorch, only NumPy, SciPy, OpenCV, PyYAML and safetensors. Weights are random: speed does
not depend on them. Results are written as they come, to results.json and results.md, and engines beside them; what is
there already is not measured again, so a run that was cut off goes on where it was. Memory is that of the whole GPU,
with one backend alive at a time. `--device cpu --quick` tries the script without a GPU.
"""

import sys
from pathlib import Path

# From a checkout, where the package is not installed.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from a2vis_model import openmp as openmp  # before torch

# isort: split
import argparse
import dataclasses
import gc
import json
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np
import torch
from masks import blob_logits
from roofline import Ceilings, count_work, kind_of, measure_ceilings, synchronise
from torch.profiler import ProfilerActivity, profile

from a2vis_model import ModelConfig, StreamingTracker, TrackSettings, VideoNetwork, build_model, freeze, load_config
from a2vis_model.backends import prepare_backend
from a2vis_model.backends.compiled import CudaGraph
from a2vis_model.backends.precision import half_precision
from a2vis_model.files.atomic import write_text
from a2vis_model.masks.outlines import OutlineCapacity
from a2vis_model.modeling import ClipPrediction, ClipState, FrameFeatures, StreamNetwork, concatenate
from a2vis_model.placement import Placement
from a2vis_model.preprocessing import FrameTransform
from a2vis_model.profiling import (
    EVERY_SLOT,
    device_name,
    memory_mib,
    network_parts,
    time_parts,
    time_stream,
    versions,
)
from a2vis_model.sample_video import sample_video
from a2vis_model.tracking.observations import PredictionReader, pack
from a2vis_model.transfer import fetch, upload

PRESETS = ("onboard", "r50", "swin_l")
SIZES = ((480, 320), (640, 360), (1280, 720))
SETTINGS = {"nothing in view": TrackSettings(), "every slot a track": EVERY_SLOT}
KERNELS = 12
"""How many kernels are listed."""


class Half:
    """A network of fp16 that takes images of fp32."""

    def __init__(self, model: VideoNetwork) -> None:
        self.slots, self.device = model.slots, model.device
        self.initial_state, self.step, self.recycle = model.initial_state, model.step, model.recycle
        self._extract = model.extract

    def extract(self, images: torch.Tensor) -> FrameFeatures:
        return self._extract(images.half())


class Results:
    """What was measured, by name, on disk at all times."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._json, self._text = folder / "results.json", folder / "results.md"
        self.values: dict[str, Any] = json.loads(self._json.read_text()) if self._json.is_file() else {}

    def add(self, name: str, value: Any) -> None:
        """Keep a value, and both files up to date."""
        self.values[name] = value
        for path, text in ((self._json, json.dumps(self.values, indent=1)), (self._text, markdown(self.values))):
            write_text(path, text)


class Bench:
    """All measurements of a preset at a size; they share its network and what backends made of it."""

    def __init__(self, preset: str, size: tuple[int, int], device: torch.device, args: argparse.Namespace) -> None:
        width, height = size
        self.config: ModelConfig = load_config(
            preset, input_width=-(-width // 32) * 32, input_height=-(-height // 32) * 32
        )
        self.video = sample_video(height, width)
        self.frames: int = args.frames
        self._device = device
        self._cache = Path(args.output) / "engines"
        self._choice = ("", "")
        self._prepared: tuple[StreamNetwork, dict[str, Any]] | Exception | None = None

    @cached_property
    def model(self) -> VideoNetwork:
        """The network itself; made when first asked for, which may be never."""
        torch.manual_seed(0)
        return freeze(build_model(self.config).to(self._device))

    def prepare(self, name: str, precision: str) -> tuple[StreamNetwork, dict[str, Any]]:
        """A network ready to run, in place of the one before; what preparing it took, and how it compares with eager.

        What cannot be prepared is not tried again: it may have taken minutes.
        """
        if self._prepared is None or self._choice != (name, precision):
            self._choice, self._prepared = (name, precision), None
            release(self._device)
            try:
                self._prepared = self._prepare(name, precision)
            except Exception as error:
                self._prepared = error
        if isinstance(self._prepared, Exception):
            raise self._prepared
        return self._prepared

    def _prepare(self, name: str, precision: str) -> tuple[StreamNetwork, dict[str, Any]]:
        start = time.perf_counter()
        ready = prepare_backend(
            self.model, self.config, backend=name, precision=precision, cache=self._cache, progress=print
        )
        parity = "is the reference" if ready.gate is None else str(ready.gate)
        return ready.network, {"seconds_to_prepare": time.perf_counter() - start, "parity": parity}

    def times(self, network: StreamNetwork, stride: int) -> dict[str, Any]:
        """Frames a second, without and with all there can be to do."""
        found: dict[str, Any] = {}
        for label, settings in SETTINGS.items():
            tracker = StreamingTracker(network, self.config, stride=stride, settings=settings)
            found[label] = dataclasses.asdict(time_stream(tracker, self.video, self.frames))
        if network.device.type == "cuda":
            found["memory_mib"] = memory_mib(network.device)
        return found

    def roofline(self, precision: str, ceilings: Ceilings) -> dict[str, Any]:
        """Time of each part, and of each kind of kernel, against the least it could take; eager, clip stride 1."""
        half = precision == "fp16"
        model = half_precision(self.model) if half else self.model  # type: ignore[arg-type]
        network: StreamNetwork = Half(model) if half else model  # type: ignore[assignment]
        modules = network_parts(model)
        parts = time_parts(
            network, modules, self.config, self.video, stride=1, frames=self.frames, settings=TrackSettings()
        )
        run = self._frame(network)
        work = count_work(run, modules, ceilings)
        kernels = kernel_times(run, network.device)
        kinds: dict[str, float] = {}
        for name, milliseconds in kernels.items():
            kinds[kind_of(name)] = kinds.get(kind_of(name), 0.0) + milliseconds
        return {
            "parts": {name: {**dataclasses.asdict(work.parts[name]), "ms": parts[name]} for name in modules},
            "others_ms": {name: ms for name, ms in parts.items() if name not in modules},
            "kinds": {
                name: {**dataclasses.asdict(found), "ms": kinds.get(name, 0.0)} for name, found in work.kinds.items()
            },
            "kernels_ms": dict(sorted(kernels.items(), key=lambda item: -item[1])[:KERNELS]),
        }

    def _frame(self, network: StreamNetwork) -> Callable[[], None]:
        transform = FrameTransform(
            input_height=self.config.input_height, input_width=self.config.input_width, device=network.device
        )
        state: ClipState = network.initial_state()
        image = transform(self.video[0])[0][None, None]
        with torch.no_grad():
            earlier = [network.extract(image) for _ in range(self.config.clip_length - 1)]

        @torch.no_grad()
        def run() -> None:
            network.step(concatenate([*earlier, network.extract(image)]), state)

        return run


def release(device: torch.device) -> None:
    """Give back what nobody holds any more."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def kernel_times(run: Callable[[], None], device: torch.device) -> dict[str, float]:
    """Milliseconds of device time by operation, of one run after some others."""
    for _ in range(3):
        run()
    synchronise(device)
    gpu = device.type == "cuda"
    repeats = 10 if gpu else 2
    with profile(activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if gpu else [])]) as profiler:
        for _ in range(repeats):
            run()
        synchronise(device)
    time_of = "self_device_time_total" if gpu else "self_cpu_time_total"
    # Operations, not the kernels they launch, which are listed beside them.
    events = [event for event in profiler.key_averages() if event.key.startswith("aten::")]
    return {event.key: getattr(event, time_of) / 1e3 / repeats for event in events if getattr(event, time_of)}


@torch.inference_mode()
def mask_times(device: torch.device, size: tuple[int, int], frames: int) -> dict[str, float]:
    """Reading 2x20 masks of 1280x720 from logits on the device, and whether they are what the CPU makes."""
    width, height = size
    place = Placement.fit(image_height=720, image_width=1280, input_height=height, input_width=width)
    visible, amodal = blob_logits(height // 4, width // 4)
    host = ClipPrediction(torch.zeros(1, len(visible), 25), visible[None, None], amodal[None, None])
    there = ClipPrediction(*(tensor.to(device) for tensor in host if tensor is not None))
    reader, least = PredictionReader.on(device), np.zeros(len(visible), np.float32)
    times = []
    for _ in range(frames + 5):
        synchronise(device)
        start = time.perf_counter()
        read = reader.read(there, 0, place, least)
        masks = [mask for slot in range(len(visible)) for mask in read.masks(slot) if mask is not None]
        times.append((time.perf_counter() - start) * 1e3)
    captured: list[float] = []
    if device.type == "cuda":
        # What a CUDA graph of the device's part would save.
        floor = upload(torch.from_numpy(least), device)
        inputs = tuple(tensor for tensor in there if tensor is not None)
        graph = CudaGraph(lambda *given: (pack(ClipPrediction(*given), 0, place, floor, OutlineCapacity()),), inputs)
        for _ in range(frames):
            synchronise(device)
            start = time.perf_counter()
            fetch(graph(*inputs)[0])
            captured.append((time.perf_counter() - start) * 1e3)
    reference = PredictionReader(None).read(host, 0, place, least)
    expected = [mask for slot in range(len(visible)) for mask in reference.masks(slot) if mask is not None]
    same = all(a.box == b.box and np.array_equal(a.counts, b.counts) for a, b in zip(masks, expected, strict=True))
    p50, p95 = np.percentile(times[5:], (50, 95))
    found = {"p50_ms": float(p50), "p95_ms": float(p95), "equal_to_cpu": same}
    return {**found, "copy_of_cuda_graph_p50_ms": float(np.median(captured))} if captured else found


def jobs(args: argparse.Namespace, device: torch.device) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Everything to measure, by name, the most telling first."""
    yield "ceilings", lambda: dataclasses.asdict(measure_ceilings(device))
    for size in ((384, 256), (480, 320), (1280, 736)):
        yield f"masks/{size[0]}x{size[1]}", lambda size=size: mask_times(device, size, args.frames)
    for size in args.sizes:
        for preset in args.presets:
            bench = Bench(preset, size, device, args)
            network = f"{preset}/{size[0]}x{size[1]}"
            for name, precision in product(args.backends, args.precisions):
                choice = f"{network}/{name}/{precision}"
                yield f"parity/{choice}", lambda b=bench, n=name, p=precision: b.prepare(n, p)[1]
                for stride in (1, 3):
                    yield (
                        f"times/{choice}/{stride}",
                        lambda b=bench, n=name, p=precision, s=stride: b.times(b.prepare(n, p)[0], s),
                    )
            for precision in args.precisions:
                yield (
                    f"roofline/{network}/{precision}",
                    lambda b=bench, p=precision: b.roofline(p, Ceilings(**args.results["ceilings"])),
                )


def markdown(values: dict[str, Any]) -> str:
    """Tables of what was measured."""
    lines = [f"# {values.get('device', '')}", "", ", ".join(f"{k} {v}" for k, v in values.get("versions", {}).items())]
    if "ceilings" in values:
        rates = ", ".join(f"{name} {rate / 1e12:.1f} TFLOP/s" for name, rate in values["ceilings"]["flops"].items())
        lines += ["", f"Ceilings, measured: {rates}, {values['ceilings']['bytes'] / 1e9:.0f} GB/s read and written."]
    lines += [
        "",
        "## Speed",
        "",
        "| network | stride | nothing in view: fps | p50 ms | p95 ms | every slot: fps | MiB |",
    ]
    lines.append("|---|---|---|---|---|---|---|")
    for name, value in _of("times", values):
        network, _, stride = name.rpartition("/")
        least, most = (value[label] for label in SETTINGS)
        memory = f"{value['memory_mib']:.0f}" if "memory_mib" in value else ""
        figures = f"{least['fps']:.1f} | {least['p50_ms']:.2f} | {least['p95_ms']:.2f} | {most['fps']:.1f} | {memory}"
        lines.append(f"| {network} | {stride} | {figures} |")
    lines += ["", "## Parity with eager fp32", ""]
    lines += [
        f"- {name}: {value['parity']}, {value['seconds_to_prepare']:.1f} s" for name, value in _of("parity", values)
    ]
    lines += ["", "## 2x20 masks of 1280x720", ""]
    lines += [
        f"- from logits of a {name} input: p50 {value['p50_ms']:.3f} ms, p95 {value['p95_ms']:.3f} ms, "
        f"{'equal to' if value['equal_to_cpu'] else 'DIFFERENT FROM'} the CPU's"
        + (
            f"; up to the copy, as a CUDA graph, {graph:.3f} ms"
            if (graph := value.get("copy_of_cuda_graph_p50_ms"))
            else ""
        )
        for name, value in _of("masks", values)
    ]
    for name, value in _of("roofline", values):
        lines += ["", f"## Roofline of {name}, eager", "", "| part | GFLOP | MB | least ms | ms | ratio |"]
        lines.append("|---|---|---|---|---|---|")
        for group in ("parts", "kinds"):
            for part, work in value[group].items():
                least_ms = work["seconds"] * 1e3
                ratio = f"{work['ms'] / least_ms:.1f}" if least_ms else ""
                lines.append(
                    f"| {part if group == 'parts' else f'*{part} kernels*'} | {work['flops'] / 1e9:.2f} | "
                    f"{work['bytes'] / 1e6:.1f} | {least_ms:.3f} | {work['ms']:.3f} | {ratio} |"
                )
        others = {**value["others_ms"], **{f"`{k}`": v for k, v in value["kernels_ms"].items()}}
        lines += ["", "; ".join(f"{part} {milliseconds:.3f} ms" for part, milliseconds in others.items())]
    failed = [f"- {name}: {value}" for name, value in _of("failed", values)]
    return "\n".join([*lines, *(["", "## Failed", "", *failed] if failed else []), ""])


def _of(kind: str, values: dict[str, Any]) -> list[tuple[str, Any]]:
    return [(name.partition("/")[2], value) for name, value in values.items() if name.startswith(f"{kind}/")]


def _size(text: str) -> tuple[int, int]:
    width, height = map(int, text.split("x"))
    return width, height


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what is missing until the time is over."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", required=True, help="folder of the results; those there are kept")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--max-minutes", type=float, default=9.0, help="begin nothing new after this (%(default)s)")
    parser.add_argument("--only", nargs="+", default=["ceilings", "masks", "parity", "times", "roofline"])
    parser.add_argument("--presets", nargs="+", default=list(PRESETS))
    parser.add_argument("--sizes", nargs="+", type=_size, default=list(SIZES))
    parser.add_argument("--backends", nargs="+", default=["eager", "compile"])
    parser.add_argument("--precisions", nargs="+", default=["fp32", "fp16"])
    parser.add_argument("--frames", type=int, default=120)
    parser.add_argument("--quick", action="store_true", help="onboard at 96x64 in fp32: does the script work?")
    args = parser.parse_args(arguments)
    if args.quick:
        args.presets, args.sizes, args.precisions, args.frames = ["onboard"], [(96, 64)], ["fp32"], 6
    device = torch.device(args.device)
    results = Results(Path(args.output))
    args.results = results.values
    for name, here in (("device", device_name(device)), ("versions", versions())):
        if results.values.get(name, here) != here:
            parser.error(f"--output {args.output} holds results of {results.values[name]}; give another folder")
        results.add(name, here)
    stop = time.monotonic() + args.max_minutes * 60
    for name, job in jobs(args, device):
        if name in results.values or (name.partition("/")[0] not in args.only and name != "ceilings"):
            continue
        if time.monotonic() > stop:
            print(f"{args.max_minutes:g} minutes are over; the same command goes on with {name}")
            break
        start = time.monotonic()
        try:
            value = job()
            results.values.pop(f"failed/{name}", None)
            results.add(name, value)
        except Exception as error:  # one network that fails must not cost the figures of the others
            traceback.print_exc()
            results.add(f"failed/{name}", f"{type(error).__name__}: {error}"[:500])
        print(f"{time.monotonic() - start:6.1f} s  {name}", flush=True)
    print(markdown(results.values))


if __name__ == "__main__":
    main()
