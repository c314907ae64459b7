"""The networks of the rivals give the numbers of the authors' code."""

from __future__ import annotations

import conformance_vectors
import numpy as np
import pytest
import torch
from conformance_vectors import NOT_FILLED, Vectors, relative_error

from stylefacev_cli.networks.baselines.digan import Digan, DiganConfig
from stylefacev_cli.networks.baselines.digan_discriminator import (
    DiganDiscriminator,
    PairDiscriminatorConfig,
)
from stylefacev_cli.networks.baselines.mocogan_hd_discriminator import (
    ContrastiveDiscriminator,
    ContrastiveDiscriminatorConfig,
)
from stylefacev_cli.networks.baselines.mocogan_hd_motion import (
    LatentMotionConfig,
    LatentMotionSampler,
    basis_of_components,
)
from stylefacev_cli.networks.baselines.stylegan2 import StyleGan2, StyleGan2Config
from stylefacev_cli.networks.baselines.stylegan_v import StyleGanV, StyleGanVConfig
from stylefacev_cli.networks.baselines.stylegan_v_discriminator import (
    VideoDiscriminator,
    VideoDiscriminatorConfig,
)
from stylefacev_cli.networks.baselines.stylegan_v_motion import TimeConfig

pytestmark = pytest.mark.conformance
TOLERANCE = 2e-5  # of the vectors themselves: 1e-4


def stylegan_v_config(original: dict) -> StyleGanVConfig:
    """Our config from the settings of the original."""
    cfg = original["generator"]
    motion, time = cfg["motion"], cfg["time_enc"]
    return StyleGanVConfig(
        z_dim=cfg["z_dim"],
        w_dim=cfg["w_dim"],
        img_resolution=original["img_resolution"],
        mapping_layers=original["mapping_layers"],
        channel_base=original["channel_base"],
        channel_max=original["channel_max"],
        conv_clamp=original["conv_clamp"],
        motion=TimeConfig(
            z_dim=motion["z_dim"],
            u_dim=motion["v_dim"],
            distance=motion["motion_z_distance"],
            kernel_size=motion["kernel_size"],
            num_frequencies=time["dim"],
            min_period=time["min_period_len"],
            max_period=time["max_period_len"],
        ),
    )


@pytest.mark.parametrize("name", conformance_vectors.names("stylegan-v"))
def test_stylegan_v_reproduces_original(name: str) -> None:
    vectors = conformance_vectors.load(name)
    original = vectors.manifest["config"]
    config = stylegan_v_config(original)
    own = (*NOT_FILLED, "freqs", "phase_scales")
    generator = vectors.fill(StyleGanV(config), not_filled=own, tag="stylegan-v/G")
    encoder = generator.synthesis.motion_encoder.time_encoder
    assert relative_error(encoder.freqs, vectors["freqs"]) < 1e-6
    assert relative_error(encoder.phase_scales, vectors["phase_scales"]) < 1e-6

    z = vectors.value("stylegan-v/z", (2, config.z_dim))
    assert relative_error(generator.mapping(z)[:, 0], vectors["ws"]) < TOLERANCE
    truncated = generator.mapping(z, truncation_psi=0.7)
    assert relative_error(truncated[:, 0], vectors["ws_psi07"]) < TOLERANCE

    noise = vectors.value("stylegan-v/motion_z", (2, 26, config.motion.z_dim))
    t = torch.tensor(original["t"])
    codes = generator.synthesis.motion_encoder(noise, t).flatten(0, 1)
    assert relative_error(codes, vectors["motion_v"]) < TOLERANCE
    assert relative_error(generator(z, noise, t), vectors["image"]) < TOLERANCE


@pytest.mark.parametrize("name", conformance_vectors.names("stylegan-v"))
def test_stylegan_v_discriminator_reproduces_original(name: str) -> None:
    vectors = conformance_vectors.load(name)
    original = vectors.manifest["config"]
    settings, size = original["discriminator"], original["img_resolution"]
    config = VideoDiscriminatorConfig(
        img_resolution=size,
        channel_base=original["channel_base"],
        channel_max=original["channel_max"],
        conv_clamp=original["conv_clamp"],
        mbstd_group_size=settings["mbstd_group_size"],
        num_frames=original["sampling"]["num_frames_per_video"],
        concat_resolution=settings["concat_res"],
        frame_divisor=settings["num_frames_div_factor"],
        max_time=original["sampling"]["max_num_frames"],
    )
    own = (*NOT_FILLED, "fourier_coefs")
    network = vectors.fill(VideoDiscriminator(config), not_filled=own, tag="stylegan-v/D")
    t = torch.tensor(original["t_d"])
    assert relative_error(network.time_encoder(t), vectors["time_embedding"]) < TOLERANCE

    x = vectors.value("stylegan-v/x", (t.numel(), 3, size, size), 0, 0.5).requires_grad_()
    logits = network(x, t)
    assert relative_error(logits[:, 0], vectors["logits"]) < TOLERANCE
    (grad,) = torch.autograd.grad(logits.sum(), x, create_graph=True)
    norms = grad.square().sum(dim=(1, 2, 3)).view(t.shape).mean(dim=1)
    assert relative_error(norms, vectors["r1"]) < 1e-4


def digan(name: str) -> tuple[Vectors, Digan]:
    vectors = conformance_vectors.load(name)
    original = vectors.manifest["config"]
    cfg = original["generator"]
    sizes = {entry["predictable_emb_size"] for entry in cfg["coords"]["res_configs"].values()}
    config = DiganConfig(
        z_dim=original["z_dim"],
        w_dim=original["w_dim"],
        img_resolution=original["img_resolution"],
        mapping_layers=original["mapping_layers"],
        channel_base=original["channel_base"],
        channel_max=original["channel_max"],
        base_grid=cfg["input"]["resolution"],
        num_frequencies=sizes.pop(),
        rank=cfg["fmm"]["rank"],
        extra_convs=tuple(int(size) for size in cfg["num_extra_convs"]),
    )
    return vectors, vectors.fill(Digan(config), tag="digan/G")


@pytest.mark.parametrize("name", conformance_vectors.names("digan"))
def test_digan_reproduces_original(name: str) -> None:
    vectors, generator = digan(name)
    config = generator.config
    assert generator.num_ws == vectors.manifest["config"]["num_ws"]
    z = vectors.value("digan/z", (2, config.z_dim))
    z_motion = vectors.value("digan/z_motion", (2, config.w_dim))
    t = torch.tensor(vectors.manifest["config"]["Ts"])
    ws = generator.mapping(z)
    assert relative_error(ws[:, 0], vectors["ws"]) < TOLERANCE

    fuser = generator.synthesis.b4.input.input.coord_fuser
    features = fuser(ws[:, 0], z_motion, t, config.base_grid)[:2]
    places = [0, 5, 31]
    found = features[:, :, places][:, :, :, places]
    assert relative_error(found, vectors["coords_input"]) < TOLERANCE

    images = generator.synthesis(ws, z_motion, t)
    assert relative_error(images[:1], vectors["first_frame"]) < TOLERANCE
    wanted = torch.from_numpy(vectors["image"])
    factor = images.shape[-1] // wanted.shape[-1]
    pooled = torch.nn.functional.avg_pool2d(images, factor)
    assert relative_error(pooled, wanted) < TOLERANCE


@pytest.mark.parametrize("name", conformance_vectors.names("digan"))
def test_digan_discriminators_reproduce_original(name: str) -> None:
    vectors = conformance_vectors.load(name)
    original = vectors.manifest["config"]
    size = original["img_resolution"]
    config = PairDiscriminatorConfig(img_resolution=size, **original["discriminator"])
    network = vectors.fill(DiganDiscriminator(config), tag="digan/D")
    pairs = vectors.value("digan/x", (2, 7, size, size), 0, 0.5)
    of_pairs, of_images = network(pairs)
    assert relative_error(of_pairs, vectors["video_logits"]) < TOLERANCE
    assert relative_error(of_images, vectors["image_logits"]) < TOLERANCE


@pytest.mark.parametrize("name", conformance_vectors.names("mocogan-hd-sampler"))
def test_mocogan_hd_motion_reproduces_original(name: str) -> None:
    vectors = conformance_vectors.load(name)
    original = vectors.manifest["config"]
    w_dim, num_frames = original["z_dim"], original["num_frames"]
    config = LatentMotionConfig(w_dim, original["h_dim"], original["n_pca"], original["w_residual"])
    sampler = vectors.fill(LatentMotionSampler(config), not_filled=("basis",), tag="mocogan-hd/R")
    components = vectors.value("mocogan-hd/pca_comp", (w_dim, w_dim), 0, 0.2)
    deviations = conformance_vectors.value(
        "mocogan-hd/pca_stdev", (w_dim,), 0, 0.5, True, vectors.salt
    )
    basis = basis_of_components(components, torch.from_numpy(deviations), original["n_pca"])
    sampler.basis.copy_(basis)
    noise = [vectors.value(f"mocogan-hd/noise/{t}", (2, w_dim)) for t in range(num_frames - 1)]
    first_w = vectors.value("mocogan-hd/w0", (2, w_dim))
    ws, reconstruction = sampler(first_w, torch.stack(noise, dim=1))
    assert relative_error(ws, vectors["ws"]) < TOLERANCE
    assert relative_error(reconstruction, vectors["noise_reconstruction"]) < TOLERANCE


@pytest.mark.parametrize("name", conformance_vectors.names("mocogan-hd-stylegan2"))
def test_mocogan_hd_generator_reproduces_original(name: str) -> None:
    vectors = conformance_vectors.load(name)
    original = vectors.manifest["config"]
    config = StyleGan2Config(
        w_dim=original["style_dim"],
        img_resolution=original["size"],
        mapping_layers=original["n_mlp"],
        channel_base=original["channel_multiplier"] * 16384,
    )
    own = (*NOT_FILLED, ".kernel")
    generator = vectors.fill(StyleGan2(config), not_filled=own, tag="mocogan-hd/G")
    z = vectors.value("mocogan-hd/z", (2, config.w_dim))
    w = generator.mapping(z)
    assert relative_error(w, vectors["w"]) < TOLERANCE
    assert relative_error(generator.synthesis(w), vectors["image"]) < TOLERANCE
    with_noise = generator.synthesis(w, generator.stored_noise)
    assert relative_error(with_noise, vectors["image_noise"]) < TOLERANCE


@pytest.mark.parametrize("name", conformance_vectors.names("mocogan-hd-image-discriminator"))
def test_mocogan_hd_image_discriminator_reproduces_original(name: str) -> None:
    vectors = conformance_vectors.load(name)
    original = vectors.manifest["config"]
    config = ContrastiveDiscriminatorConfig(
        original["resolution"], original["D_ch"], original["proj_dim"]
    )
    network = vectors.fill(
        ContrastiveDiscriminator(config), not_filled=("weight_u", "weight_v"), tag="mocogan-hd/D"
    )
    state = network.state_dict()
    for weight in (key for key in state if key.endswith("weight_orig")):
        left, _, right = np.linalg.svd(state[weight].flatten(1).double().numpy())
        prefix = weight.removesuffix("orig")
        state[f"{prefix}u"].copy_(torch.from_numpy(left[:, 0]))
        state[f"{prefix}v"].copy_(torch.from_numpy(right[0]))
    x = vectors.value("mocogan-hd/x", (2, 3, config.img_resolution, config.img_resolution), 0, 0.5)
    logits, projection = network(x)
    assert relative_error(logits, vectors["logits"]) < TOLERANCE
    assert relative_error(projection, vectors["projection"]) < TOLERANCE
