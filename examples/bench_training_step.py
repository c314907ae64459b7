"""A training step of the appearance stage at the released 256 px sizes: ours against the original.

python examples/bench_training_step.py [--original STYLEFACEV STYLEGAN3] [--threads 2] [--steps 3]

STYLEFACEV and STYLEGAN3 are folders with the original code (github.com/arthur-qiu/StyleFaceV and
github.com/NVlabs/stylegan3), which is imported and run on its CPU path; it needs `munch`, minutes,
and well over 10 GB of memory. Both sides have untrained networks of the same sizes and the same
perceptual network (VGG16, random weights), batch 1, and take turns, a step each, in processes of
their own. A step: two images drawn without gradient (the plain and the moved one), landmarks and
pose, encoder, recomposition, the third image with gradient, losses, backward, Adam. Printed are
medians of wall and of processor time, and their ratios.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from bench_generator import stand_in_for_old_packages

from stylefacev_cli.common.memory import keep_freed_memory
from stylefacev_cli.common.threads import set_num_threads
from stylefacev_cli.metrics.perceptual import PerceptualLoss
from stylefacev_cli.networks.features.vgg16 import Vgg16
from stylefacev_cli.networks.stylefacev.appearance import AppearanceConfig
from stylefacev_cli.networks.stylefacev.landmarks import LandmarkDetector
from stylefacev_cli.networks.stylefacev.pose import PoseExtractor
from stylefacev_cli.networks.stylegan3.generator import Generator, GeneratorConfig
from stylefacev_cli.training.batches.clip_frames import Frames
from stylefacev_cli.training.stages.appearance import AppearanceStage, AppearanceStageConfig

RELEASED = GeneratorConfig(
    channel_base=32768, channel_max=1024, conv_kernel=1, use_radial_filters=True
)
SMALL = GeneratorConfig(  # to see that it runs
    z_dim=64, w_dim=32, img_resolution=32, channel_base=256, channel_max=16, num_layers=6,
    conv_kernel=1, use_radial_filters=True,
)  # fmt: skip
Step = Callable[[], None]


def our_step(
    config: GeneratorConfig, encoder: AppearanceConfig, vgg: PerceptualLoss, dtype: str
) -> Step:
    torch.manual_seed(0)
    size = config.img_resolution
    nothing = Frames(  # the stage draws all that it learns from
        np.zeros((1, size, size, 3), np.uint8), np.zeros((1, config.z_dim), np.float32),
        np.zeros((1, 98, 2), np.float32), np.ones((1, 98), bool), np.zeros(1, bool),
        np.array([0, 1]), np.array([False]), 25.0,
    )  # fmt: skip
    frozen = [
        network.eval().requires_grad_(False)
        for network in (Generator(config), LandmarkDetector(), PoseExtractor())
    ]
    settings = AppearanceStageConfig(encoder, batch_size=1, dtype=dtype)
    stage = AppearanceStage(settings, nothing, 1, *frozen, vgg)
    index = 0

    def step() -> None:
        nonlocal index
        losses = stage.step(index, 0.0)
        assert all(np.isfinite(value) for value in losses.values()), losses
        index += 1

    return step


def original_step(stylefacev: str, stylegan3: str, vgg: PerceptualLoss) -> Step:
    stand_in_for_old_packages()
    sys.path[:0] = [stylegan3, stylefacev]
    from models import diy_networks, lmcode_networks, resnet
    from training.networks_stylegan3 import Generator as TheirGenerator

    torch.manual_seed(0)
    generator: Any = TheirGenerator(
        z_dim=512, c_dim=0, w_dim=512, img_resolution=256, img_channels=3,
        mapping_kwargs={"num_layers": 2}, channel_base=32768, channel_max=1024,
        conv_kernel=1, use_radial_filters=True,
    ).eval().requires_grad_(False)  # fmt: skip
    landmarks: Any = lmcode_networks.FAN().eval().requires_grad_(False)
    pose_net: Any = diy_networks._resposenet(num_point=14).eval().requires_grad_(False)
    encoder: Any = resnet.wide_resdisnet50_2(num_classes=512 * 16)
    adam = torch.optim.Adam(encoder.parameters(), 2e-4, betas=(0.5, 0.999))

    def placed(transform: torch.Tensor) -> None:
        generator.synthesis.input.transform.copy_(transform)

    def moved() -> torch.Tensor:
        angle = random.uniform(-np.pi / 4, np.pi / 4)
        matrix = torch.eye(3)
        matrix[0, 0] = matrix[1, 1] = np.cos(angle)
        matrix[0, 1], matrix[1, 0] = np.sin(angle), -np.sin(angle)
        matrix[:2, 2] = torch.rand(2) / 2 - 0.25
        return torch.linalg.inv(matrix)

    def step() -> None:
        with torch.no_grad():
            placed(torch.eye(3))
            ws = generator.mapping(torch.randn(1, 512), None)
            plain = generator.synthesis(ws, noise_mode="const").clamp(-1, 1)
            pose = pose_net(landmarks.get_heatmap(plain, b_preprocess=False), mode=1)
            placed(moved())
            other = generator.synthesis(ws, noise_mode="const").clamp(-1, 1)
        made_ws = encoder(encoder(other, mode=1), pose, mode=2).view(-1, 16, 512)
        with torch.no_grad():
            placed(torch.eye(3))
        made = generator.synthesis(made_ws, noise_mode="const")
        loss = F.l1_loss(made, plain) + 100 * vgg(made, plain)
        loss = loss + 100 * F.l1_loss(made_ws[:, 1:], ws[:, 1:])
        adam.zero_grad()
        loss.backward()
        adam.step()
        assert torch.isfinite(loss)

    return step


def timed(step: Step) -> tuple[float, float]:
    """Wall and processor seconds of a step."""
    wall, processor = time.monotonic(), time.process_time()
    step()
    return time.monotonic() - wall, time.process_time() - processor


def one_side(options: argparse.Namespace) -> None:
    """In a process of its own: build a side, warm ours up (it compiles), print a step's times."""
    if options.side != "original":
        keep_freed_memory()  # as `stylefacev train` does
    set_num_threads(options.threads)
    torch.manual_seed(0)
    vgg = PerceptualLoss(Vgg16(), "vgg16, random")
    if options.side == "original":
        step = original_step(*options.original, vgg)
    else:
        config, encoder = RELEASED, AppearanceConfig()
        if options.small:
            num_ws = SMALL.num_layers + 2
            blocks = (1, 1, 1, 1)
            encoder = AppearanceConfig(64, 1, 4, 2, 1, blocks, blocks, 1, 8, num_ws, SMALL.w_dim)
            config = SMALL
        step = our_step(config, encoder, vgg, options.side)
        step()
    times = timed(step)
    peak_bytes = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps([*times, peak_bytes / 1e9]))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--original", nargs=2, metavar=("STYLEFACEV", "STYLEGAN3"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--small", action="store_true", help="tiny sizes, to see that it runs")
    parser.add_argument(
        "--side", choices=("original", "float32", "bfloat16"), help="one step of it"
    )
    options = parser.parse_args()
    if options.side:
        one_side(options)
        return
    # Of tiny layers PyTorch's bfloat16 convolutions crash on the CPU (2.14), so not those.
    sides = ["original"] * bool(options.original) + ["float32"] + ["bfloat16"] * (not options.small)
    found: dict[str, list[list[float]]] = {side: [] for side in sides}
    for _ in range(options.steps):
        for side in sides:
            command = [sys.executable, *sys.argv, "--side", side]
            # Threads that spin while they wait count as work, and are slow on a busy machine.
            env = {"OMP_WAIT_POLICY": "passive", **os.environ}
            done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True, env=env)
            wall, processor, peak_gb = json.loads(done.stdout.splitlines()[-1])
            found[side].append([wall, processor, peak_gb])
            load = os.getloadavg()[0]
            print(f"{side:10s} wall {wall:.2f} s, processor {processor:.2f} s, load {load:.1f}",
                  file=sys.stderr, flush=True)  # fmt: skip
    medians = {side: [statistics.median(column) for column in zip(*times, strict=True)]
               for side, times in found.items()}  # fmt: skip
    first = medians[sides[0]]
    for side, (wall, processor, peak_gb) in medians.items():
        name = side if side == "original" else f"ours, {side}"
        print(
            f"{name:15s} wall {wall:8.2f} s ({first[0] / wall:5.1f}x)   "
            f"processor {processor:8.2f} s ({first[1] / processor:5.1f}x)   peak {peak_gb:.1f} GB"
        )


if __name__ == "__main__":
    main()
