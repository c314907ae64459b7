"""How fast the networks' implementations are, against each other.

For developers: `python examples/bench_generator.py`. Times on shared machines mean little, so that
all implementations of an operation take turns in one process, and what is printed are ratios of
medians, with the times of the first.

`--original FOLDER`, where FOLDER holds the code of github.com/NVlabs/stylegan3, also times that
code's own CPU path on the same weights. It runs in a process of its own, as published; ours runs as
the commands run it. They take turns; wall time counts.
"""

from __future__ import annotations

import argparse
import importlib.util
import multiprocessing
import statistics
import sys
import time
import types
from collections.abc import Callable, Mapping
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.torch_version import TorchVersion

from stylefacev_cli.common.memory import keep_freed_memory
from stylefacev_cli.common.threads import num_threads, set_num_threads
from stylefacev_cli.networks.stylegan3.filtered_lrelu import (
    filtered_lrelu_polyphase,
    filtered_lrelu_reference,
)
from stylefacev_cli.networks.stylegan3.filtered_lrelu_fused import filtered_lrelu_fused
from stylefacev_cli.networks.stylegan3.generator import (
    Generator,
    GeneratorConfig,
    SynthesisLayer,
    layer_geometries,
)

ORIGINAL_FILE = "training/networks_stylegan3.py"
SMALL_T = GeneratorConfig(  # the sizes of the default model
    z_dim=256,
    w_dim=256,
    img_resolution=128,
    channel_base=4096,
    channel_max=128,
    num_layers=10,
    margin_size=4,
    filter_size=4,
)
RELEASED_R = GeneratorConfig(  # the sizes of the released face generators
    img_resolution=256,
    channel_base=32768,
    channel_max=1024,
    conv_kernel=1,
    use_radial_filters=True,
)

Timings = dict[str, list[float]]


def take_turns(candidates: Mapping[str, Callable[[], Any]], repeats: int) -> Timings:
    """Run every candidate once to warm up, then `repeats` times in turn; seconds of each run.

    The time is the processor's, of all threads, so that other processes do not count; waiting
    between threads does.
    """
    timings: Timings = {name: [] for name in candidates}
    for run in candidates.values():
        run()
    for _ in range(repeats):
        for name, run in candidates.items():
            start = time.process_time()
            run()
            timings[name].append(time.process_time() - start)
    return timings


def report(title: str, timings: Timings) -> None:
    """Print the first candidate's median time and how much faster the others are."""
    medians = {name: statistics.median(times) for name, times in timings.items()}
    (first, slowest), *others = medians.items()
    ratios = "  ".join(f"{name} {slowest / median:6.1f}x" for name, median in others)
    print(f"{title:50s} {first} {slowest * 1e3:9.2f} ms  {ratios}")


def benchmark_layer(
    title: str, config: GeneratorConfig, index: int, planes: int, repeats: int
) -> None:
    """Compare the filtered leaky ReLU of a layer, forwards and backwards."""
    geometries = layer_geometries(config)
    before, after = geometries[index - 1], geometries[index]
    layer = SynthesisLayer(
        config,
        before,
        after,
        is_torgb=False,
        is_critically_sampled=index >= config.num_layers - config.num_critical,
    )
    size = before.size + config.conv_kernel - 1
    x = torch.randn(1, planes, size, size)
    bias = torch.randn(planes)
    implementations = {
        "reference": filtered_lrelu_reference,
        "polyphase": filtered_lrelu_polyphase,
        "fused": filtered_lrelu_fused,
    }

    def forward(implementation: Any, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = implementation(
            x,
            layer.up_filter,
            layer.down_filter,
            bias,
            up=layer.up,
            down=layer.down,
            padding=layer.padding,
            clamp=256.0,
        )
        return y

    def both(implementation: Any) -> None:
        own = x.clone().requires_grad_()
        torch.autograd.backward(forward(implementation, own).sum())

    title = f"{title}, {planes} planes {before.size} -> {after.size}"
    forwards = {name: partial(forward, f, x) for name, f in implementations.items()}
    report(f"{title}, forward", take_turns(forwards, repeats))
    both_ways = {name: partial(both, f) for name, f in implementations.items()}
    report(f"{title}, both ways", take_turns(both_ways, repeats))


def benchmark_generator(title: str, config: GeneratorConfig, batch: int, repeats: int) -> None:
    """Time a generator's frames and training steps, in float32 and with bfloat16 products."""
    generator = Generator(config)
    ws = generator.mapping(torch.randn(batch, config.z_dim)).detach()

    def draw(dtype: torch.dtype | None) -> None:
        with torch.no_grad():
            generator.synthesis(ws, conv_dtype=dtype)

    def step(dtype: torch.dtype | None) -> None:
        generator.zero_grad()
        generator.synthesis(ws, conv_dtype=dtype).abs().mean().backward()

    for what, run in (("draw", draw), ("training step", step)):
        candidates = {"float32": partial(run, None), "bfloat16": partial(run, torch.bfloat16)}
        timings = take_turns(candidates, repeats)
        report(f"{title}, {what}, batch {batch}", timings)
        rate = batch / statistics.median(timings["float32"])
        print(f"{'':50s} {rate:.1f} images per processor second in float32")


def stand_in_for_old_packages() -> None:
    """Let the original code be imported with packages of today.

    It compares versions of PyTorch with `pkg_resources.parse_version`, which setuptools has no
    longer, and imports `distutils.util.strtobool`, which went with Python 3.12; nothing of the
    networks calls that.
    """
    if importlib.util.find_spec("pkg_resources") is None:
        resources: Any = types.ModuleType("pkg_resources")
        resources.parse_version = TorchVersion
        sys.modules["pkg_resources"] = resources
    if importlib.util.find_spec("distutils") is None:
        package: Any = types.ModuleType("distutils")
        package.util = types.ModuleType("distutils.util")
        package.util.strtobool = lambda text: text.lower() in ("1", "y", "yes", "t", "true", "on")
        sys.modules |= {"distutils": package, "distutils.util": package.util}


def their_generator(folder: str, config: GeneratorConfig) -> Any:
    """NVIDIA's generator of the same sizes, from a folder with their code."""
    stand_in_for_old_packages()
    sys.path.insert(0, folder)
    from training.networks_stylegan3 import Generator as Original  # type: ignore[import-not-found]

    same = ("z_dim", "c_dim", "w_dim", "img_resolution", "img_channels")
    of_synthesis = (
        *("channel_base", "channel_max", "num_layers", "num_critical", "first_cutoff"),
        *("first_stopband", "last_stopband_rel", "margin_size", "output_scale", "conv_kernel"),
        *("filter_size", "lrelu_upsampling", "use_radial_filters", "conv_clamp"),
    )
    return Original(
        **{name: getattr(config, name) for name in (*same, *of_synthesis)},
        mapping_kwargs={"num_layers": config.mapping_layers},
    )


def one_side(
    pipe: Connection, folder: str | None, config: GeneratorConfig, weights: Any, num_threads: int
) -> None:
    """In a process of its own: draw the frame of the ws that come, send pixels and seconds."""
    if folder is None:
        keep_freed_memory()  # as the commands do
    set_num_threads(num_threads)
    generator = Generator(config) if folder is None else their_generator(folder, config)
    generator.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    generator.eval().requires_grad_(False)
    while (message := pipe.recv()) is not None:
        ws, dtype = message
        more = {"conv_dtype": dtype} if folder is None else {"noise_mode": "const"}
        start = time.monotonic()
        frame = generator.synthesis(torch.from_numpy(ws), **more)
        pipe.send((frame.numpy(), time.monotonic() - start))


def benchmark_original(
    title: str, folder: str, config: GeneratorConfig, repeats: int, num_threads: int
) -> None:
    """Time a frame of the original code and of ours, and how far they differ."""
    torch.manual_seed(0)
    generator = Generator(config)
    weights = {name: value.numpy() for name, value in generator.state_dict().items()}
    ws = generator.mapping(torch.randn(1, config.z_dim)).detach().numpy()
    context, pipes = multiprocessing.get_context("spawn"), []
    for side in (folder, None):
        ours, theirs = context.Pipe()
        arguments = (theirs, side, config, weights, num_threads)
        context.Process(target=one_side, args=arguments, daemon=True).start()
        pipes.append(ours)

    def draw(pipe: Connection, dtype: torch.dtype | None = None) -> tuple[np.ndarray, float]:
        try:
            pipe.send((ws, dtype))
            frame, seconds = pipe.recv()
        except (EOFError, OSError):
            whose = f"the code in {folder}" if pipe is original else "ours"
            sys.exit(f"failed: {whose} did not draw a frame; what it printed is above")
        return frame, seconds

    original, own = pipes
    sides: dict[str, Callable[[], tuple[np.ndarray, float]]] = {
        "original": partial(draw, original),
        "float32": partial(draw, own),
        "bfloat16": partial(draw, own, torch.bfloat16),
    }
    frames = {name: draw_one()[0] for name, draw_one in sides.items()}  # warms up
    timings: Timings = {name: [] for name in sides}
    for _ in range(repeats):
        for name, draw_one in sides.items():
            timings[name].append(draw_one()[1])
    for pipe in pipes:
        pipe.send(None)
    report(f"{title}, a frame, wall time", timings)
    size = np.linalg.norm(frames["original"])
    for name in ("float32", "bfloat16"):
        error = np.linalg.norm(frames[name] - frames["original"]) / size
        print(f"{'':50s} {name} differs by {error:.1e} of the frame's norm")


def main() -> None:
    """Parse the command line and print."""
    parser = argparse.ArgumentParser(prog="python examples/bench_generator.py", description=__doc__)
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default: 1)")
    parser.add_argument("--repeats", type=int, default=5, help="runs of each (default: 5)")
    parser.add_argument(
        "--part", choices=("layers", "small", "released", "all"), default="all", help="what to time"
    )
    parser.add_argument(
        "--original", metavar="FOLDER", help="StyleGAN3's own code, timed beside ours"
    )
    options = parser.parse_args()
    if options.original and not (Path(options.original) / ORIGINAL_FILE).is_file():
        parser.error(f"{options.original} is not StyleGAN3's code: it has no {ORIGINAL_FILE}")
    keep_freed_memory()  # as the commands do
    set_num_threads(options.threads)
    print(f"{num_threads()} thread(s); processor time, medians of {options.repeats}")
    if options.part in ("layers", "all"):
        benchmark_layer("T 128 px, L8", SMALL_T, 8, 16, options.repeats)
        benchmark_layer("T 128 px, L6", SMALL_T, 6, 16, options.repeats)
        benchmark_layer("R 256 px, L8", RELEASED_R, 8, 16, options.repeats)
        benchmark_layer("R 256 px, L11", RELEASED_R, 11, 8, options.repeats)
    if options.part in ("small", "all"):
        benchmark_generator("T 128 px", SMALL_T, 8, options.repeats)
        if options.original:
            benchmark_original(
                "T 128 px", options.original, SMALL_T, options.repeats, options.threads
            )
    if options.part in ("released", "all"):
        title = "R 256 px, released sizes"
        benchmark_generator(title, RELEASED_R, 1, options.repeats)
        if options.original:
            benchmark_original(
                title, options.original, RELEASED_R, options.repeats, options.threads
            )


if __name__ == "__main__":
    main()
