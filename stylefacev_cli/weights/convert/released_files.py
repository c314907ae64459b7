"""The published networks: what architecture a file holds, read from its arguments and shapes.

Nothing is guessed. A StyleGAN3 snapshot names its generator's arguments; of a state dict the shapes
tell the sizes. What neither tells (strides, the size of the input) is fixed in the published code.
Whatever was read is then built, and every name, shape and type of the file compared with it; for
generators also the low-pass filters, which depend on all the cutoffs.

Source: the published parameter names and sizes of StyleGAN3 (2021) and StyleFaceV (2022).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from stylefacev_cli.common.settings import build
from stylefacev_cli.errors import IntegrityError, UsageError
from stylefacev_cli.networks.stylefacev.appearance import AppearanceConfig
from stylefacev_cli.networks.stylefacev.landmarks import LandmarkDetectorConfig
from stylefacev_cli.networks.stylefacev.motion import MotionSamplerConfig
from stylefacev_cli.networks.stylefacev.normalisation import PER_IMAGE
from stylefacev_cli.networks.stylefacev.pose import PoseExtractorConfig
from stylefacev_cli.networks.stylegan3.generator import GeneratorConfig
from stylefacev_cli.weights.architectures import build_network, check_names, listed
from stylefacev_cli.weights.manifest_checks import refuse_absurd
from stylefacev_cli.weights.untrusted.foreign_file import Checkpoint
from stylefacev_cli.weights.untrusted.stored_tensor import ITEM_BYTES

Shapes = Mapping[str, tuple[int, ...]]

_LAYER = re.compile(r"synthesis\.L([0-9]{1,3})_([0-9]{1,5})_([0-9]{1,5})\.weight")
_DESIGNING = ("generator", "stylegan2", "stylegan_v", "digan")  # networks with filters
_DESIGNED = ("_filter", ".kernel", "time_encoder.freqs", "time_encoder.phase_scales")
_FILTER_TOLERANCE = 1e-3  # relative; a filter of another cutoff is off by far more
_MAPPING_RATE = (
    0.01  # learning-rate multiplier of the mapping network; no released file has another
)
_RENAMED = {"num_layers": "mapping_layers", "w_avg_beta": "w_avg_beta"}  # of mapping_kwargs
_ONLY_FOR_SPEED = ("num_fp16_res",)
# Hourglasses beyond the first of the published detectors with four; the first works on its own.
_FURTHER_STACKS = re.compile(r"(?:(?:m|top_m_|conv_last|bn_end|l)[1-9]|(?:bl|al)[0-9])\.")
_STORABLE = {torch.float32: ("float32", "float16", "bfloat16"), torch.int64: ("int64",)}

_MARKS = {  # a name that only this network has
    "generator": "synthesis.input.weight",
    "landmarks": "m0.coordconv.conv.weight",
    "appearance": "layer1_a.0.conv1.weight",
    "pose": "layer4.0.conv1.weight",
    "motion": "enc_cell.weight_ih",
}


def released_config(
    network: str, checkpoint: Checkpoint, generator: GeneratorConfig | None = None
) -> Any:
    """The settings of the network that a file holds.

    Args:
        network: one of `NETWORK_NAMES`.
        checkpoint: the file.
        generator: of the model; the appearance network makes its ws.

    Raises:
        IntegrityError: the file holds another network, or its sizes contradict each other.
    """
    shapes = {name: spec.shape for name, spec in checkpoint.specs.items()}
    try:
        if network == "generator":
            if checkpoint.arguments is None:
                return _generator_of_shapes(shapes)
            config = _generator_of_arguments(checkpoint.arguments, str(checkpoint.path))
            num_layers = sum(_LAYER.fullmatch(name) is not None for name in shapes)
            if not num_layers:
                raise KeyError(_MARKS[network])
            if num_layers != config.num_layers + 1:
                raise UsageError(
                    f"num_layers is {config.num_layers}, "
                    f"but it has {num_layers} layers, ToRGB among them"
                )
            return config
        if network == "appearance":
            assert generator is not None
            return _appearance(shapes, generator)
        if network == "pose":
            return _pose(shapes)
        if network == "motion":
            return _motion(shapes)
        return _landmarks(shapes)
    except (KeyError, IndexError, ValueError, ZeroDivisionError) as error:
        raise IntegrityError(_no_such_network(network, checkpoint.path, shapes)) from error
    except UsageError as error:
        raise IntegrityError(f"{checkpoint.path} is not a {network} of StyleFaceV: {error}") from (
            error
        )


def load_matched(
    network: str, config: Any, checkpoint: Checkpoint
) -> tuple[dict[str, torch.Tensor], tuple[str, ...]]:
    """Load the tensors of a network once every name, shape and type was found to fit.

    Args:
        network: one of `NETWORK_NAMES`.
        config: its settings.
        checkpoint: the file.

    Returns:
        The state dict, bit for bit as in the file, and notes on what was left out.

    Raises:
        IntegrityError: names are missing or extra, or shapes, types, numbers or filters are wrong.
    """
    path, specs = checkpoint.path, dict(checkpoint.specs)
    notes: tuple[str, ...] = ()
    further = [name for name in specs if _FURTHER_STACKS.match(name)]
    if network in ("landmarks", "detector") and further:
        notes = (f"{len(further)} tensors of the hourglasses beyond the first were left out",)
        specs = {name: spec for name, spec in specs.items() if name not in further}
    num_bytes = sum(math.prod(spec.shape) * ITEM_BYTES[spec.dtype] for spec in specs.values())
    # Only of some are numbers (their filters) expected: other networks need no memory here.
    with torch.device("cpu" if network in _DESIGNING else "meta"):
        expected = build_network(network, config, num_bytes, path).state_dict()
    check_names(set(expected), set(specs), path)
    shapes = [
        f"{name} is {list(specs[name].shape)}, not {list(tensor.shape)}"
        for name, tensor in expected.items()
        if specs[name].shape != tuple(tensor.shape)
    ]
    if shapes:
        raise IntegrityError(f"{path} does not fit its architecture: {listed(shapes, most=3)}")
    types = [
        f"{name} is {specs[name].dtype}"
        for name, tensor in expected.items()
        if specs[name].dtype not in _STORABLE[tensor.dtype]
    ]
    if types:
        raise IntegrityError(f"{path} has tensors of types that no model has: {listed(types)}")
    tensors = checkpoint.load()
    if network in _DESIGNING:
        _check_filters(tensors, expected, path)
    return {name: tensors[name] for name in expected}, notes


def _check_filters(
    tensors: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor], path: Path
) -> None:
    for name, designed in expected.items():
        if not name.endswith(_DESIGNED):
            continue
        error = (tensors[name].float() - designed).norm() / designed.norm()
        if error > _FILTER_TOLERANCE:
            raise IntegrityError(
                f"{path}: {name} is not the filter of its architecture; give the pickle of its "
                "training, which names its arguments"
            )


def _no_such_network(network: str, path: Path, shapes: Shapes) -> str:
    if any(name.startswith("synthesis.b") for name in shapes):
        return f"{path} holds a StyleGAN2 generator: only those of StyleGAN3 (T and R) can be used"
    for other, mark in _MARKS.items():
        if mark in shapes and other != network.replace("detector", "landmarks"):
            return f"{path} holds no {network} network: it looks like one for --{other}"
    first = listed(sorted(shapes), most=3)
    return f"{path} holds no {network} network of StyleFaceV: its tensors are {first}"


def _generator_of_arguments(arguments: Mapping[str, Any], path: str) -> GeneratorConfig:
    """From the arguments of the original class; those it leaves out have the same defaults here."""
    where = f"{path}: the arguments of its Generator"
    values = {key: value for key, value in arguments.items() if key not in _ONLY_FOR_SPEED}
    mapping = values.pop("mapping_kwargs", {})
    if not isinstance(mapping, dict):
        raise UsageError(f"{where}: mapping_kwargs is no section")
    if mapping.get("lr_multiplier", _MAPPING_RATE) != _MAPPING_RATE:
        raise UsageError(f"{where}: mapping_kwargs.lr_multiplier is not {_MAPPING_RATE}")
    for key, value in mapping.items():
        if key != "lr_multiplier":
            values[_RENAMED.get(key, f"mapping_kwargs.{key}")] = value
    for key in ("z_dim", "c_dim", "w_dim", "img_resolution", "img_channels"):
        if key not in values:
            raise UsageError(f"{where}: {key} is missing (is it a StyleGAN3 generator?)")
    refuse_absurd(values, where)
    config = build(GeneratorConfig, values, where)
    if config.c_dim:
        raise UsageError("it wants class labels; only generators without labels can be used")
    return config


def _generator_of_shapes(shapes: Shapes) -> GeneratorConfig:
    """From shapes and the names of layers; cutoffs are the published ones (and checked later)."""
    found = [match.groups() for match in map(_LAYER.fullmatch, shapes) if match]
    layers = sorted((int(index), int(size), int(channels)) for index, size, channels in found)
    num_layers, resolution, img_channels = layers[-1]
    first = "synthesis.L{}_{}_{}".format(*layers[0])
    w_dim, in_features = shapes["mapping.fc0.weight"]
    embedded = shapes.get("mapping.embed.weight")
    radial = any(
        name.endswith(".down_filter") and len(shape) == 2 for name, shape in shapes.items()
    )
    default = GeneratorConfig()
    config = GeneratorConfig(
        z_dim=in_features - (w_dim if embedded else 0),
        w_dim=w_dim,
        img_resolution=resolution,
        img_channels=img_channels,
        c_dim=embedded[1] if embedded else 0,
        mapping_layers=_count(shapes, r"mapping\.fc[0-9]+\.weight"),
        # The last layers have channel_base / resolution channels, the first ones channel_max.
        channel_base=layers[num_layers - 1][2] * resolution,
        channel_max=max(channels for _, _, channels in layers),
        num_layers=num_layers,
        conv_kernel=shapes[f"{first}.weight"][2],
        filter_size=shapes[f"{first}.up_filter"][0] // default.lrelu_upsampling,
        use_radial_filters=radial,
    )
    refuse_absurd(vars(config), "its generator")
    if config.c_dim:
        raise UsageError("it wants class labels; only generators without labels can be used")
    return config


def _landmarks(shapes: Shapes) -> LandmarkDetectorConfig:
    return LandmarkDetectorConfig(
        width=shapes["m0.coordconv.conv.weight"][0],
        depth=_count(shapes, r"m0\.b1_[0-9]+\.conv1\.weight"),
    )


def _pose(shapes: Shapes) -> PoseExtractorConfig:
    outer = [shapes[f"layer{stage}.0.conv3.weight"][0] for stage in (1, 2, 3, 4)]
    inner = [shapes[f"layer{stage}.0.conv1.weight"][0] for stage in (1, 2, 3, 4)]
    return PoseExtractorConfig(
        channels=tuple(outer[:3]),
        inner_channels=tuple(inner[:3]),
        head_channels=outer[3],
        head_inner_channels=inner[3],
        blocks_per_stage=_blocks(shapes, "layer1"),
    )


def _appearance(shapes: Shapes, generator: GeneratorConfig) -> AppearanceConfig:
    base = shapes["conv1.weight"][0]
    num_ws, w_dim = generator.num_layers + 2, generator.w_dim
    made = shapes["fc_a.weight"][0]
    if made != num_ws * w_dim:
        raise UsageError(
            f"it makes {made} numbers of ws, but the generator takes {num_ws} × {w_dim}"
        )
    return AppearanceConfig(
        normalisation=PER_IMAGE,  # the authors never put it into evaluation mode
        base_channels=base,
        expansion=shapes["layer1.0.conv3.weight"][0] // base,
        inner_ratio=shapes["layer1.0.conv1.weight"][0] // base,
        encoder_blocks=tuple(_blocks(shapes, f"layer{stage}") for stage in (1, 2, 3, 4)),
        recomposer_blocks=tuple(_blocks(shapes, f"layer{stage}_a") for stage in (1, 2, 3, 4)),
        lift_blocks=_blocks(shapes, "layer5"),
        appearance_channels=shapes["layer5.0.conv3.weight"][0],
        num_ws=num_ws,
        w_dim=w_dim,
    )


def _motion(shapes: Shapes) -> MotionSamplerConfig:
    return MotionSamplerConfig(
        pose_dim=shapes["enc_cell.weight_ih"][1], hidden_dim=shapes["enc_cell.weight_hh"][1]
    )


def _blocks(shapes: Shapes, stage: str) -> int:
    return _count(shapes, rf"{stage}\.[0-9]+\.conv1\.weight")


def _count(shapes: Shapes, pattern: str) -> int:
    return sum(re.fullmatch(pattern, name) is not None for name in shapes)
