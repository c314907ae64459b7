"""The networks that a model can have: their settings, how they fit together, how they are built."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from stylefacev_cli.common.settings import build
from stylefacev_cli.errors import IntegrityError, UsageError
from stylefacev_cli.networks.baselines.digan import Digan, DiganConfig
from stylefacev_cli.networks.baselines.mocogan_hd_motion import (
    LatentMotionConfig,
    LatentMotionSampler,
)
from stylefacev_cli.networks.baselines.stylegan2 import StyleGan2, StyleGan2Config
from stylefacev_cli.networks.baselines.stylegan_v import StyleGanV, StyleGanVConfig
from stylefacev_cli.networks.stylefacev.appearance import AppearanceConfig, AppearanceRecomposer
from stylefacev_cli.networks.stylefacev.landmarks import LandmarkDetector, LandmarkDetectorConfig
from stylefacev_cli.networks.stylefacev.motion import MotionSampler, MotionSamplerConfig
from stylefacev_cli.networks.stylefacev.pose import POSE_SIZE, PoseExtractor, PoseExtractorConfig
from stylefacev_cli.networks.stylegan3.generator import Generator, GeneratorConfig
from stylefacev_cli.weights.kinds import IMAGE_NETWORKS
from stylefacev_cli.weights.locate import MANIFEST_NAME
from stylefacev_cli.weights.manifest import Manifest
from stylefacev_cli.weights.manifest_checks import refuse_absurd
from stylefacev_cli.weights.untrusted.pickle_values import shown

_MAX_CALLS = 30_000  # of torch while a network is built; the largest of ours makes some 6,000
_MAKES_NOTHING = {
    "__get__",
    "__set__",
    "dim",
    "size",
    "numel",
    "is_contiguous",
    "_set_grad_enabled",
}
_NETWORKS: dict[str, tuple[Any, Any]] = {  # by network: its settings and its class
    "generator": (GeneratorConfig, Generator),
    "landmarks": (LandmarkDetectorConfig, LandmarkDetector),
    "pose": (PoseExtractorConfig, PoseExtractor),
    "appearance": (AppearanceConfig, AppearanceRecomposer),
    "motion": (MotionSamplerConfig, MotionSampler),
    "detector": (LandmarkDetectorConfig, LandmarkDetector),
    "stylegan2": (StyleGan2Config, StyleGan2),
    "latent_motion": (LatentMotionConfig, LatentMotionSampler),
    "stylegan_v": (StyleGanVConfig, StyleGanV),
    "digan": (DiganConfig, Digan),
}


_NO_NETWORK = (  # what layers raise when they are given settings that no network has
    *(ArithmeticError, AssertionError, LookupError, MemoryError, RuntimeError),
    *(TypeError, ValueError),
)


def read_configs(manifest: Manifest) -> dict[str, Any]:
    """The settings of each network, checked on their own and against each other.

    Raises:
        IntegrityError: a setting is wrong, or two networks do not fit together.
    """
    where = f"{manifest.folder / MANIFEST_NAME}: architecture"
    try:
        made = {
            name: read_config(name, settings, f"{where}.{name}")
            for name, settings in manifest.architecture.items()
        }
    except UsageError as error:
        raise IntegrityError(f"{error}; the model is damaged or of another version") from error
    image_network = image_network_of(made)
    if made[image_network].img_resolution != manifest.resolution:
        raise IntegrityError(
            f"{where}: it does not hold that {image_network}.img_resolution is the bundle's "
            "resolution"
        )
    check_fit(made, where)
    return made


def read_config(network: str, settings: object, where: str) -> Any:
    """The settings of one network from plain values.

    Raises:
        UsageError: a setting is wrong; `where` says in the message what they belong to.
    """
    refuse_absurd(settings, where)
    try:
        return build(_NETWORKS[network][0], settings, where)
    except ArithmeticError as error:
        raise UsageError(f"{where}: {error}") from error


def image_network_of(configs: Mapping[str, Any]) -> str:
    """Which of a model's networks makes its images."""
    return next(name for name in IMAGE_NETWORKS if name in configs)


def check_fit(configs: Mapping[str, Any], where: str) -> None:
    """Check the settings of networks against each other.

    Args:
        configs: by network; one that makes images has to be there.
        where: what they belong to, for the message.

    Raises:
        IntegrityError: two of them do not fit together.
    """
    generator = configs[image_network_of(configs)]
    landmarks, pose, appearance, motion, latent_motion = (
        configs.get(name) for name in ("landmarks", "pose", "appearance", "motion", "latent_motion")
    )
    agreements = {
        "generator makes colour images without labels": (
            (getattr(generator, "img_channels", 3), getattr(generator, "c_dim", 0)) == (3, 0)
        ),
        "latent_motion and the image generator agree on w": (
            not latent_motion or latent_motion.w_dim == generator.w_dim
        ),
        "landmarks and pose agree on the heatmaps": (
            not landmarks or not pose or landmarks.heatmap_size == pose.heatmap_size
        ),
        "appearance and generator agree on the ws": (
            not appearance
            or (appearance.num_ws, appearance.w_dim) == (generator.num_layers + 2, generator.w_dim)
        ),
        "motion and pose agree on the pose": not motion or motion.pose_dim == POSE_SIZE**2,
    }
    for statement, holds in agreements.items():
        if not holds:
            raise IntegrityError(f"{where}: it does not hold that {statement}")


def build_network(network: str, config: Any, num_bytes: int, path: Path) -> nn.Module:
    """Make a network, whose first random weights only take the place of those to come.

    Args:
        network: one of `NETWORK_NAMES`.
        config: its settings.
        num_bytes: of its weights; a network that is far larger is not built.
        path: where the weights are, for messages.

    Raises:
        IntegrityError: there is no network of these settings and size.
    """
    try:
        # Each stored number takes two bytes or more; building needs a few copies of it.
        with allocating_at_most(num_bytes * 4 + 2**24, path), np.errstate(all="ignore"):
            module: nn.Module = _NETWORKS[network][1](config)
    except _NO_NETWORK as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise IntegrityError(
            f"no network can have the architecture of {path.name}: {reason}"
        ) from error
    return module


def check_names(expected: set[str], found: set[str], path: Path) -> None:
    """Check that a file has the tensors of its network, all of them and no others.

    Raises:
        IntegrityError: names are missing or extra; the message lists the first of them.
    """
    missing, extra = sorted(expected - found), sorted(found - expected)
    complaints = []
    if missing:
        complaints.append(f"lacks {listed(missing)}")
    if extra:
        complaints.append(f"has {listed(extra)} too many")
    if complaints:
        raise IntegrityError(f"{path} does not fit its architecture: it {' and '.join(complaints)}")


def listed(names: list[str], most: int = 5) -> str:
    """The first of some names, and how many more there are; for messages."""
    first = ", ".join(shown(name, 80) for name in names[:most])
    return first if len(names) <= most else f"{first} and {len(names) - most} more"


class _Counter(TorchFunctionMode):
    """Counts the elements of the tensors that are made, those of a call before it is made."""

    def __init__(self, most: int, path: Path) -> None:
        super().__init__()
        self.most, self.left, self.path = most, most, path
        self.calls_left = _MAX_CALLS

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        self.calls_left -= 1
        name = getattr(func, "__name__", "")
        if self.calls_left < 0 or (name not in _MAKES_NOTHING and _asked(name, args) > self.most):
            self.refuse()
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor):
            self.left -= result.numel()
            if self.left < 0:
                self.refuse()
        return result

    def refuse(self) -> NoReturn:
        """End the building."""
        raise IntegrityError(
            f"the architecture of {self.path.stem} is larger than {self.path}: damaged"
        )


def _asked(name: str, args: tuple[Any, ...]) -> int:
    """Elements that a call can make: of the joined shapes of tensors, or of the sizes it names."""
    if not args:
        return 0
    first = args[0]
    if isinstance(first, torch.Tensor):
        shapes = [value.shape for value in args if isinstance(value, torch.Tensor)]
        joined = first.numel()
        if len(shapes) > 1:
            sides = zip_longest(*map(reversed, shapes), fillvalue=1)
            joined = math.prod(max(side) for side in sides)
        return max(joined, _named(args[1:]))
    named = _named(args)
    return named**2 if name == "eye" else named


def _named(args: tuple[Any, ...]) -> int:
    """The product of the sizes at the beginning of some arguments; 0 where there are none."""
    sizes = args[0] if args and isinstance(args[0], tuple | list) else args
    numbers = [size for size in sizes if type(size) is int]
    return math.prod(numbers) if numbers else 0


@contextmanager
def allocating_at_most(num_elements: int, path: Path) -> Iterator[None]:
    """Stop the making of a network that is far larger than its file, before it takes all memory.

    One thread: what is drawn here is overwritten at once, and threads waiting for each other in the
    many small operations can take seconds on a busy machine.
    """
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with _Counter(num_elements, path), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of settings that make empty layers
            yield
    finally:
        torch.set_num_threads(num_threads)
