"""Released files of the models of Table 1 → bundles of their kinds.

    stylegan-v, digan   a snapshot, whose settings are read and never assumed
    mocogan-hd          an image generator, the motion's state dict, and the principal components
                        of w: pca_comp.npy and pca_stdev.npy

Sources of names and formats: the authors' files of MoCoGAN-HD (2021), StyleGAN-V and DIGAN (2022).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from stylefacev_cli.common.settings import build, to_plain
from stylefacev_cli.errors import IntegrityError, MissingWeightsError, UsageError
from stylefacev_cli.networks.baselines.digan import DiganConfig
from stylefacev_cli.networks.baselines.mocogan_hd_motion import (
    LatentMotionConfig,
    basis_of_components,
)
from stylefacev_cli.networks.baselines.stylegan2 import StyleGan2, StyleGan2Config
from stylefacev_cli.networks.baselines.stylegan_v import StyleGanVConfig
from stylefacev_cli.weights.architectures import check_fit
from stylefacev_cli.weights.bundle import write_bundle
from stylefacev_cli.weights.convert.released_files import load_matched, released_config
from stylefacev_cli.weights.kinds import KINDS
from stylefacev_cli.weights.manifest_checks import refuse_absurd
from stylefacev_cli.weights.requests import ImportRequest
from stylefacev_cli.weights.untrusted.foreign_file import Checkpoint, TensorSpec, read_checkpoint
from stylefacev_cli.weights.untrusted.numpy_arrays import read_numbers

_NVIDIA = "NVIDIA Source Code License (non-commercial)"
LICENCES = {
    "mocogan-hd": f"MoCoGAN-HD's own (Snap Inc.); its generator: {_NVIDIA}",
    "stylegan-v": f"none of its authors'; after its readme likely {_NVIDIA}",
    "digan": f"DIGAN's own (NAVER Corp.) over {_NVIDIA}",
}
COMPONENTS_NAME, DEVIATIONS_NAME = "pca_comp.npy", "pca_stdev.npy"
_MAX_BYTES = 2**26  # of principal components
_OWN_CHANNELS = 2**15


@dataclass(frozen=True)
class Converted:
    """What files became: settings and tensors by network, the rate that they say, and notes."""

    configs: dict[str, Any]
    tensors: dict[str, dict[str, torch.Tensor]]
    fps: float | None
    notes: tuple[str, ...]


def convert_other_kind(
    request: ImportRequest, files: Mapping[str, Path], pca: Path | None, folder: Path
) -> tuple[str, ...]:
    """Write a bundle of the kind that the request names.

    Args:
        request: what is asked for.
        files: by network, as `--generator` and `--motion` name them.
        pca: the folder of principal components.
        folder: where the bundle goes.

    Returns:
        Notes on what was chosen or left out.

    Raises:
        UsageError: a file is given that the kind does not have.
        MissingWeightsError: a file is missing.
        IntegrityError: a file is damaged, or holds something else.
    """
    kind = request.kind
    _check_given(request, files, pca)
    checkpoints = {name: read_checkpoint(path) for name, path in files.items()}
    if kind == "mocogan-hd":
        assert pca is not None
        made = _mocogan_hd(checkpoints["generator"], checkpoints["motion"], pca)
    else:
        made = _of_snapshot(kind, checkpoints["generator"])
    check_fit(made.configs, "the files together")
    from stylefacev_cli.version import __version__

    sources = {
        name: {"file": checkpoint.path.name, "sha256": checkpoint.sha256}
        for name, checkpoint in checkpoints.items()
    }
    write_bundle(
        folder,
        made.tensors,
        made.configs,
        name=request.name,
        fps=request.fps or made.fps or KINDS[kind].fps,
        licence=request.licence or LICENCES[kind],
        provenance={"imported_by": f"stylefacev {__version__}", "from": sources},
    )
    return made.notes


def _check_given(request: ImportRequest, files: Mapping[str, Path], pca: Path | None) -> None:
    kind = request.kind
    wanted = {"generator", "motion"} if kind == "mocogan-hd" else {"generator"}
    others = sorted(set(files) - wanted)
    given = {"archive": request.archive, "normalisation": request.normalisation}
    others += [name for name, value in given.items() if value is not None]
    if pca is not None and kind != "mocogan-hd":
        others.append("pca")
    if others:
        raise UsageError(f"--{others[0]}: a model of the kind {kind} has none; leave it out")
    missing = sorted(wanted - set(files))
    if kind == "mocogan-hd" and pca is None:
        missing.append("pca")
    if missing:
        raise MissingWeightsError(f"a model of the kind {kind} needs --{' and --'.join(missing)}")


def _of_snapshot(kind: str, checkpoint: Checkpoint) -> Converted:
    read = {"stylegan-v": _stylegan_v, "digan": _digan}[kind]
    if checkpoint.arguments is None:
        raise IntegrityError(f"{checkpoint.path} is no snapshot (.pkl), which alone says its sizes")
    where = f"{checkpoint.path}: the settings of its generator"
    try:
        config, fps = read(_Settings(checkpoint.arguments, where))
        refuse_absurd(to_plain(config), where)
    except UsageError as error:
        raise IntegrityError(f"{error} (is it a snapshot of the kind {kind}?)") from error
    except (TypeError, ValueError) as error:  # a list where a number belongs
        raise IntegrityError(f"{where} are malformed: fetch it again") from error
    network = KINDS[kind].networks[0][0]
    tensors, notes = load_matched(network, config, checkpoint)
    return Converted({network: config}, {network: tensors}, fps, (*checkpoint.notes, *notes))


class _Settings:
    """Settings of a snapshot, looked up by paths like `cfg.motion.z_dim`."""

    def __init__(self, values: Mapping[str, Any], where: str) -> None:
        self.values, self.where = values, where

    def at(self, path: str, *otherwise: Any) -> Any:
        """The value at a path; without it what is given, or else an error."""
        value: Any = self.values
        for key in path.split("."):
            if not isinstance(value, Mapping) or key not in value:
                if otherwise:
                    return otherwise[0]
                raise UsageError(f"{self.where}: {path} is missing")
            value = value[key]
        return value

    def expect(self, path: str, *known: Any) -> None:
        """Refuse what the networks here do not have; the first one stands for nothing."""
        value = self.at(path, known[0])
        if value not in known:
            raise UsageError(f"{self.where}: {path} is {str(value)[:40]!r}, not {known[0]!r}")

    def shared(self) -> dict[str, Any]:
        """What both kinds say alike."""
        self.expect("c_dim", 0)
        self.expect("cfg.use_noise", False)
        self.expect("synthesis_kwargs.architecture", "skip")
        return {
            "w_dim": self.at("w_dim"),
            "img_resolution": self.at("img_resolution"),
            "img_channels": self.at("img_channels"),
            "mapping_layers": self.at("mapping_kwargs.num_layers", 8),
            "channel_base": self.at("synthesis_kwargs.channel_base", _OWN_CHANNELS),
            "channel_max": self.at("synthesis_kwargs.channel_max", 512),
        }


def _stylegan_v(settings: _Settings) -> tuple[StyleGanVConfig, float | None]:
    settings.expect("cfg.input.type", "temporal")
    settings.expect("cfg.motion.gen_strategy", "conv")
    settings.expect("cfg.motion.fourier", True)
    settings.expect("cfg.time_enc.cond_type", "concat_const")
    shortest = settings.at("cfg.time_enc.min_period_len", 16)
    motion = {
        "z_dim": settings.at("cfg.motion.z_dim"),
        "u_dim": settings.at("cfg.motion.v_dim"),
        "distance": settings.at("cfg.motion.motion_z_distance", shortest),
        "kernel_size": settings.at("cfg.motion.kernel_size", 11),
        "num_frequencies": settings.at(  # files of an earlier repository call it num_freqs
            "cfg.time_enc.dim", settings.at("cfg.time_enc.num_freqs", None)
        ),
        "min_period": shortest,
        "max_period": settings.at("cfg.time_enc.max_period_len", 1024),
    }
    values = {
        **settings.shared(),
        "z_dim": settings.at("cfg.z_dim"),
        "conv_clamp": settings.at("synthesis_kwargs.conv_clamp", None),
        "motion": motion,
    }
    config: StyleGanVConfig = build(StyleGanVConfig, values, settings.where)
    fps = settings.at("cfg.sampling.fps", None)
    is_rate = isinstance(fps, int | float) and not isinstance(fps, bool) and 0 < fps <= 240
    return config, float(fps) if is_rate else None


def _digan(settings: _Settings) -> tuple[DiganConfig, float | None]:
    settings.expect("cfg.input.type", "coords")
    settings.expect("cfg.upsampling_mode", "nearest")
    settings.expect("cfg.coords.kernel_size", 1)
    settings.expect("cfg.coords.per_resolution", True)
    settings.expect("cfg.coords.motion_sigma", 0.25)
    settings.expect("cfg.fmm.activation", "demod")
    settings.expect("cfg.fmm.instance_norm", False)
    settings.expect("synthesis_kwargs.conv_clamp", None)
    grids = settings.at("cfg.coords.res_configs")
    resolution = settings.at("img_resolution")
    sizes = {
        settings.at(f"cfg.coords.res_configs.{size}.predictable_emb_size")
        for size in (grids if isinstance(grids, Mapping) else ())
        if str(size).isdecimal() and int(size) <= resolution
    }
    extra = settings.at("cfg.num_extra_convs", {})
    counts = set(extra.values()) if isinstance(extra, Mapping) else {None}
    if len(sizes) != 1 or not counts <= {0, 1}:
        raise UsageError(f"{settings.where}: its grids differ in features or layers")
    values = {
        **settings.shared(),
        "z_dim": settings.at("z_dim"),
        "base_grid": settings.at("cfg.input.resolution"),
        "num_frequencies": sizes.pop(),
        "rank": settings.at("cfg.fmm.rank"),
        "extra_convs": [int(size) for size, count in extra.items() if count],
    }
    return build(DiganConfig, values, settings.where), None


def _mocogan_hd(generator: Checkpoint, motion: Checkpoint, pca: Path) -> Converted:
    components = read_numbers(pca / COMPONENTS_NAME, 2, _MAX_BYTES)
    deviations = read_numbers(pca / DEVIATIONS_NAME, 1, _MAX_BYTES)
    moving = _motion_config(motion)
    rows, w_dim = moving.num_directions, moving.w_dim
    if components.shape[0] < rows or components.shape[1] != w_dim or len(deviations) < rows:
        raise IntegrityError(
            f"{pca}: components {list(components.shape)} and deviations {list(deviations.shape)} "
            f"do not fit {motion.path}, which has {rows} directions of {w_dim} numbers"
        )
    basis = basis_of_components(
        torch.from_numpy(components), torch.from_numpy(deviations), rows
    ).contiguous()
    network, image, added = _image_generator(generator)
    tensors, image_notes = load_matched(network, image, added)
    moved, motion_notes = load_matched("latent_motion", moving, _with(motion, {"basis": basis}))
    return Converted(
        {network: image, "latent_motion": moving},
        {network: tensors, "latent_motion": moved},
        None,
        (*added.notes, *image_notes, *motion.notes, *motion_notes),
    )


def _motion_config(checkpoint: Checkpoint) -> LatentMotionConfig:
    shapes = {name: spec.shape for name, spec in checkpoint.specs.items()}
    try:
        (hidden_dim, rows), w_dim = shapes["w"], shapes["enc_cell.weight_ih"][1]
    except (KeyError, ValueError, IndexError) as error:
        raise IntegrityError(f"{checkpoint.path} holds no motion of MoCoGAN-HD") from error
    return LatentMotionConfig(w_dim=w_dim, hidden_dim=hidden_dim, num_directions=rows)


def _image_generator(checkpoint: Checkpoint) -> tuple[str, Any, Checkpoint]:
    """The network of a file of images, its settings, and the file with what it may leave out."""
    shapes = {name: spec.shape for name, spec in checkpoint.specs.items()}
    if "to_rgb1.bias" not in shapes:  # as StyleFaceV's authors put MoCoGAN-HD on StyleGAN3
        return "generator", released_config("generator", checkpoint), checkpoint
    try:
        num_blocks = sum(
            re.fullmatch(r"to_rgbs\.[0-9]+\.bias", name) is not None for name in shapes
        )
        size = 4 * 2**num_blocks
        channels = shapes[f"convs.{2 * num_blocks - 1}.conv.weight"][1]
        config = StyleGan2Config(
            w_dim=shapes["style.1.weight"][1],
            img_resolution=size,
            mapping_layers=sum(
                re.fullmatch(r"style\.[0-9]+\.weight", name) is not None for name in shapes
            ),
            channel_base=channels * size,
            channel_max=shapes["input.input"][1],
        )
        refuse_absurd(vars(config), str(checkpoint.path))
    except (KeyError, IndexError, UsageError) as error:
        raise IntegrityError(f"{checkpoint.path} holds no StyleGAN2 generator") from error
    if any(name.startswith("noises.") for name in shapes):
        return "stylegan2", config, checkpoint
    with torch.device("meta"):
        maps = StyleGan2(config).noises.named_buffers()
    added = {f"noises.{name}": torch.zeros(one.shape) for name, one in maps}
    note = "it has no noise maps of its own; videos draw theirs from the seed"
    return "stylegan2", config, replace(_with(checkpoint, added), notes=(*checkpoint.notes, note))


def _with(checkpoint: Checkpoint, added: dict[str, torch.Tensor]) -> Checkpoint:
    """A file with further tensors."""
    specs = {name: TensorSpec("float32", tuple(one.shape)) for name, one in added.items()}
    inner = checkpoint.load
    return replace(
        checkpoint, specs={**checkpoint.specs, **specs}, load=lambda: {**inner(), **added}
    )
