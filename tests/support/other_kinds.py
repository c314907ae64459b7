"""Tiny models of other kinds than StyleFaceV's own, their released files, and plug-ins.

Snapshots are written as the authors' training writes them: persistent objects, settings of
omegaconf with references to other sections, an optimiser whose state has tensors as keys.
"""

from __future__ import annotations

import io
import pickle
import re
import sys
import types
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import persistence_pickles
import torch
from persistence_pickles import EasyDict, persistent
from torch import nn

from stylefacev_cli.networks.baselines.digan import Digan, DiganConfig
from stylefacev_cli.networks.baselines.mocogan_hd_motion import (
    LatentMotionConfig,
    LatentMotionSampler,
)
from stylefacev_cli.networks.baselines.stylegan2 import StyleGan2, StyleGan2Config
from stylefacev_cli.networks.baselines.stylegan_v import StyleGanV, StyleGanVConfig
from stylefacev_cli.networks.baselines.stylegan_v_motion import TimeConfig
from stylefacev_cli.weights.bundle import write_bundle

W_DIM = 16
TOY = Path(__file__).parents[2] / "examples" / "toy_generator"


def networks_of(kind: str) -> dict[str, nn.Module]:
    """Tiny networks of a kind, with weights that are not those of a beginning."""
    torch.manual_seed(7)
    made: dict[str, nn.Module]
    if kind == "digan":
        config = DiganConfig(
            z_dim=W_DIM, w_dim=W_DIM, img_resolution=16, channel_base=128, channel_max=12,
            base_grid=8, num_frequencies=4, rank=2, extra_convs=(16,),
        )  # fmt: skip
        made = {"digan": Digan(config)}
    elif kind == "stylegan-v":
        time = TimeConfig(z_dim=8, u_dim=12, distance=4, kernel_size=3, num_frequencies=6)
        made = {
            "stylegan_v": StyleGanV(
                StyleGanVConfig(
                    z_dim=W_DIM, w_dim=W_DIM, img_resolution=16, channel_base=128,
                    channel_max=12, motion=time,
                )
            )
        }  # fmt: skip
    else:
        made = {
            "stylegan2": StyleGan2(StyleGan2Config(W_DIM, 16, 2, 192, 12)),
            "latent_motion": LatentMotionSampler(LatentMotionConfig(W_DIM, 10, 12)),
        }
    for module in made.values():
        for parameter in module.parameters():
            parameter.data += 0.2 * torch.randn_like(parameter)
    return {name: module.eval() for name, module in made.items()}


def write_model(folder: Path, kind: str, fps: float = 25.0) -> dict[str, nn.Module]:
    """A bundle of a kind; returns its networks."""
    networks = networks_of(kind)
    write_bundle(
        folder,
        {name: module.state_dict() for name, module in networks.items()},
        {name: module.config for name, module in networks.items()},
        name=kind,
        fps=fps,
        licence="CC0-1.0",
        provenance={},
    )
    return networks


# --- snapshots -------------------------------------------------------------------------------


class Metadata:
    """Of a node of settings; it names types."""

    def __init__(self) -> None:
        self.ref_type, self.object_type, self.element_type = Any, dict, int


class AnyNode:
    """A leaf."""

    def __init__(self, value: object, parent: object) -> None:
        self._metadata, self._parent, self._val = Metadata(), parent, value


class DictConfig:
    """A section."""

    def __init__(self, content: Mapping[str, Any], parent: object = None) -> None:
        self._metadata, self._parent = Metadata(), parent
        self._content = {key: node(value, self) for key, value in content.items()}


class ListConfig:
    """A list."""

    def __init__(self, content: list[Any], parent: object) -> None:
        self._metadata, self._parent = Metadata(), parent
        self._content = [node(value, self) for value in content]


def node(value: object, parent: object) -> object:
    """Plain values as nodes of settings."""
    if isinstance(value, Mapping):
        return DictConfig(value, parent)
    return ListConfig(value, parent) if isinstance(value, list) else AnyNode(value, parent)


class Adam:
    """An optimiser's content."""

    def __init__(self) -> None:
        self.state: defaultdict[object, object] = defaultdict(dict)
        self.state[torch.zeros(2)] = {"step": torch.tensor(1.0), "exp_avg": torch.zeros(2)}


_PLACES = {
    "omegaconf.base": [Metadata],
    "omegaconf.nodes": [AnyNode],
    "omegaconf.dictconfig": [DictConfig],
    "omegaconf.listconfig": [ListConfig],
    "torch.optim.adam": [Adam],
}


@contextmanager
def _modules(top: str) -> Iterator[None]:
    """The names of the original modules exist while something is pickled."""
    reconstruct = persistence_pickles._reconstruct_persistent_obj
    places: dict[str, list[Any]] = {
        **_PLACES,
        f"{top}torch_utils.persistence": [reconstruct],
        f"{top}dnnlib.util": [EasyDict],
    }
    was = (reconstruct.__module__, EasyDict.__module__)
    before = dict(sys.modules)
    for name, members in places.items():
        parts = name.split(".")
        for end in range(1, len(parts) + 1):
            path = ".".join(parts[:end])
            if path != "torch" and not (path == "torch.optim"):
                sys.modules[path] = types.ModuleType(path)
        for member in members:
            member.__module__ = name
            setattr(sys.modules[name], member.__name__, member)
    try:
        yield
    finally:
        reconstruct.__module__, EasyDict.__module__ = was
        for name in set(sys.modules) - set(before):
            del sys.modules[name]
        sys.modules.update(before)


def pickled(content: object, top: str, protocol: int = 4) -> bytes:
    """The bytes of a snapshot; `top` goes before the names of the authors' modules."""
    buffer = io.BytesIO()
    with _modules(top):
        pickle.dump(content, buffer, protocol=protocol)
    return buffer.getvalue()


def stylegan_v_settings(config: StyleGanVConfig) -> dict[str, Any]:
    """The whole experiment, of which the generator's settings are a section."""
    time = config.motion
    return {
        "dataset": {"fps": 30, "max_num_frames": 1024},
        "model": {
            "generator": {
                "use_noise": False,
                "input": {"type": "temporal"},
                "z_dim": config.z_dim,
                "w_dim": config.w_dim,
                "motion": {
                    "z_dim": time.z_dim,
                    "v_dim": time.u_dim,
                    "motion_z_distance": "${sampling.distance}",
                    "gen_strategy": "conv",
                    "kernel_size": time.kernel_size,
                    "fourier": True,
                },
                "time_enc": {
                    "cond_type": "concat_const",
                    "dim": time.num_frequencies,
                    "min_period_len": time.min_period,
                    "max_period_len": time.max_period,
                },
                "sampling": "${sampling}",
            }
        },
        "sampling": {
            "distance": time.distance,
            "fps": "${dataset.fps}",
            "total_dists": [1, 2, 4],
            "name": "random${dataset.fps}",
        },
    }


def stylegan_v_snapshot(network: StyleGanV, protocol: int = 4, **changed: Any) -> bytes:
    """A snapshot of StyleGAN-V; `changed` settings of the generator replace those there are."""
    config = network.config
    whole = stylegan_v_settings(config)
    whole["model"]["generator"].update(changed)
    settings = DictConfig(whole)._content["model"]._content["generator"]  # type: ignore[attr-defined]
    kwargs = EasyDict(
        w_dim=config.w_dim,
        mapping_kwargs=EasyDict(num_layers=config.mapping_layers, cfg=settings),
        synthesis_kwargs=EasyDict(
            channel_base=config.channel_base,
            channel_max=config.channel_max,
            num_fp16_res=4,
            conv_clamp=256,
        ),
        cfg=settings,
        c_dim=0,
        img_resolution=config.img_resolution,
        img_channels=3,
    )
    generator = persistent(network, kwargs, class_name="Generator")
    generator.meta["state"]["cfg"] = settings
    content = {
        "training_set_kwargs": {"path": "x.zip", "cfg": settings},
        "G_ema": generator,
        "G_opt": Adam(),
        "vis": {"grid": torch.zeros(3)},
        "stats": {"cur_nimg": np.int64(5)},
    }
    return pickled(content, "src.", protocol)


def digan_snapshot(network: Digan, protocol: int = 4, **changed: Any) -> bytes:
    """A snapshot of DIGAN, whose settings are plain."""
    config = network.config
    grid = {"predictable_emb_size": config.num_frequencies, "use_cosine": True}
    coords = {
        "kernel_size": 1,
        "per_resolution": True,
        "motion_sigma": 0.25,
        "res_configs": {str(4 * 2**k): dict(grid) for k in range(5)},
    }
    settings = {
        "use_noise": False,
        "upsampling_mode": "nearest",
        "num_extra_convs": {str(size): 1 for size in config.extra_convs},
        "input": {"type": "coords", "resolution": config.base_grid, "coord_fuser_cfg": coords},
        "coords": coords,
        "fmm": {"enabled": True, "rank": config.rank, "activation": "demod"},
        **changed,
    }
    kwargs = EasyDict(
        z_dim=config.z_dim,
        w_dim=config.w_dim,
        mapping_kwargs=EasyDict(num_layers=config.mapping_layers),
        synthesis_kwargs=EasyDict(
            channel_base=config.channel_base, channel_max=config.channel_max, conv_clamp=None
        ),
        cfg=settings,
        ours=True,
        c_dim=0,
        img_resolution=config.img_resolution,
        img_channels=3,
    )
    content = {
        "G_ema": persistent(network, kwargs, class_name="Generator"),
        "augment_pipe": None,
    }
    return pickled(content, "", protocol)


def mocogan_hd_files(folder: Path) -> dict[str, nn.Module]:
    """generator.pt, motion.pth and the principal components in a folder; returns the networks."""
    networks = networks_of("mocogan-hd")
    sampler = networks["latent_motion"]
    assert isinstance(sampler, LatentMotionSampler)
    torch.save(
        {"g_ema": networks["stylegan2"].state_dict(), "latent_avg": torch.zeros(W_DIM)},
        folder / "generator.pt",
    )
    motion = {f"module.{k}": v for k, v in sampler.state_dict().items() if k != "basis"}
    torch.save(motion, folder / "motion.pth")
    random = np.random.RandomState(3)
    components = random.randn(W_DIM, W_DIM).astype(np.float32)
    deviations = random.rand(W_DIM).astype(np.float32) + 0.1
    np.save(folder / "pca_comp.npy", components)
    np.save(folder / "pca_stdev.npy", deviations)
    rows = sampler.config.num_directions
    sampler.basis.copy_(torch.from_numpy(components[:rows] * deviations[:rows, None]))
    return networks


# --- plug-ins --------------------------------------------------------------------------------


def install_plugin(folder: Path, source: str, entry: str, name: str = "plugin_of_test") -> None:
    """A package with one module and one entry point, as pip would leave it in `folder`."""
    (folder / f"{name}.py").write_text(source, encoding="utf-8")
    info = folder / f"{name}-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text(f"[stylefacev.generators]\n{entry}\n")


def install_toy(folder: Path) -> Path:
    """The example's plug-in, as pip would leave it in `folder`; returns its model's folder."""
    text = (TOY / "pyproject.toml").read_text(encoding="utf-8")
    entry = re.search(r'entry-points\."stylefacev\.generators"\]\n(.+)', text)
    assert entry is not None
    source = (TOY / "toy_generator.py").read_text(encoding="utf-8")
    install_plugin(folder, source, entry[1].replace('"', ""), "toy_generator")
    return TOY / "model"
