"""The way from a seed to frames: reproducible, independent of batches, and what depends on what."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import TINY_RESOLUTION_PX

import stylefacev_cli
from stylefacev_cli.common.seeding import latent_of_seed, noise_of_seed
from stylefacev_cli.errors import MissingWeightsError, UsageError
from stylefacev_cli.pipeline import (
    MAX_SEED,
    Model,
    choose_device,
    load_model,
)


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> Model:
    return stylefacev_cli.load_model(tiny_model, device="cpu")


def video(model: Model, seed: int = 3, num_frames: int = 9, **options: float) -> np.ndarray:
    return np.stack(list(model.sample(seed, num_frames, **options)))  # type: ignore[arg-type]


def difference(a: np.ndarray, b: np.ndarray) -> int:
    return int(np.abs(a.astype(int) - b.astype(int)).max())


def test_frames_are_pictures_that_move(model: Model) -> None:
    frames = video(model)
    assert frames.shape == (9, TINY_RESOLUTION_PX, TINY_RESOLUTION_PX, 3)
    assert frames.dtype == np.uint8
    assert difference(frames[0], frames[-1]) > 0


def test_one_seed_is_one_video(model: Model, tiny_model: Path) -> None:
    frames = video(model)
    assert difference(frames, video(model)) == 0
    video(model, seed=4)  # what was made before does not matter
    torch.manual_seed(77)
    assert difference(frames, video(load_model(tiny_model, device="cpu"))) == 0


@pytest.mark.parametrize("batch", [1, 2, 5, 100])
def test_batch_size_does_not_matter(model: Model, batch: int) -> None:
    assert difference(video(model), video(model, batch=batch)) <= 2


def test_short_is_the_beginning_of_long(model: Model) -> None:
    assert difference(video(model, num_frames=5), video(model, num_frames=16)[:5]) <= 2


def test_neither_threads_nor_batch_change_a_bit_of_poses_and_ws() -> None:
    shipped = stylefacev_cli.load_model("default-64", device="cpu")

    def made(threads: int, batch: int) -> list[torch.Tensor]:
        torch.set_num_threads(threads)
        person = shipped.person(3)
        poses = torch.cat(list(shipped.motion(person.first_pose, 3, 6)))
        parts = [shipped.recompose(person.appearance, some) for some in poses.split(batch)]
        return [person.appearance, poses, torch.cat(parts)]

    before = torch.get_num_threads()
    try:
        results = [made(1, 1), made(2, 5), made(3, 6)]
    finally:
        torch.set_num_threads(before)
    for others in results[1:]:
        assert all(map(torch.equal, results[0], others))


def test_interleaved_videos_do_not_touch(model: Model) -> None:
    both = list(zip(model.sample(1, 6), model.sample(2, 6), strict=True))
    assert difference(np.stack([a for a, _ in both]), video(model, 1, 6)) == 0
    assert difference(np.stack([b for _, b in both]), video(model, 2, 6)) == 0


def test_motion_seed_moves_the_same_start_otherwise(model: Model) -> None:
    usual, other = video(model), video(model, motion_seed=8)
    assert difference(usual, video(model, motion_seed=3)) == 0  # the seed itself is the default
    assert difference(usual[0], other[0]) <= 2
    assert difference(usual, other) > 0


def test_truncation_acts_on_the_first_frame(model: Model) -> None:
    assert difference(video(model), video(model, truncation=0.5)) > 0
    mean = video(model, seed=1, truncation=0.0, motion_seed=5)
    assert difference(mean, video(model, seed=2, truncation=0.0, motion_seed=5)) == 0


def test_first_frame_is_recomposed_from_its_own_pose(model: Model) -> None:
    z = latent_of_seed(3, model.networks.generator.config.z_dim)
    frame = model.render(model.map(z, 1.0))
    ws = model.recompose(model.encode(frame), model.extract_pose(frame))
    rendered = (model.render(ws)[0].permute(1, 2, 0).numpy() + 1) * 127.5
    assert np.abs(rendered - video(model)[0]).max() <= 1


def test_roll_out_is_that_of_the_motion_sampler(model: Model) -> None:
    first_pose = torch.rand(1, 1, 8, 8)
    poses = torch.cat(list(islice(model.move(first_pose, 8), 6)))
    noise = torch.stack(list(islice(noise_of_seed(8, 64), 5)), dim=1)
    rolled, _ = model.networks.motion.roll_out(first_pose.flatten(1), noise)
    torch.testing.assert_close(poses[1:].flatten(1), rolled[0])
    torch.testing.assert_close(poses[:1], first_pose)


def test_latents_are_those_that_stylegan_users_know() -> None:
    expected = np.random.RandomState(7).randn(1, 512).astype(np.float32)
    assert np.array_equal(latent_of_seed(7, 512).numpy(), expected)
    assert np.isfinite(latent_of_seed(MAX_SEED, 4).numpy()).all()
    # Golden: a change of numpy or of the derivation would change everybody's videos.
    assert next(noise_of_seed(7, 3))[0].tolist() == pytest.approx(
        [0.1270, -0.6272, 0.7990], abs=1e-4
    )


def test_gradients_are_off_inside_and_untouched_outside(model: Model) -> None:
    frames = model.sample(3, 2)
    next(frames)
    assert torch.is_grad_enabled() and not torch.is_inference_mode_enabled()


def test_bfloat16_is_close(model: Model, tiny_model: Path) -> None:
    coarse = load_model(tiny_model, device="cpu", dtype="bfloat16")
    error = np.abs(video(coarse).astype(int) - video(model).astype(int))
    assert 0 < error.mean() < 8


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ((-1, 4), {}),
        ((2**32, 4), {}),
        ((0, 0), {}),
        ((0, 4), {"batch": 0}),
        ((0, 4), {"motion_seed": -1}),
    ],
)
def test_absurd_numbers_are_refused_at_once(
    model: Model, arguments: tuple[int, int], options: dict[str, int]
) -> None:
    with pytest.raises(UsageError):
        model.sample(*arguments, **options)  # type: ignore[arg-type]


def test_unknown_model_device_dtype(tiny_model: Path) -> None:
    with pytest.raises(MissingWeightsError, match="unknown model 'nobody'"):
        load_model("nobody")
    with pytest.raises(UsageError, match="float32, bfloat16"):
        load_model(tiny_model, dtype="float8")
    with pytest.raises(UsageError, match="auto, cuda, mps, cpu"):
        choose_device("tpu")
    if not torch.cuda.is_available():
        assert choose_device("auto").type in ("cpu", "mps")
        with pytest.raises(UsageError, match="no cuda device"):
            choose_device("cuda")


def far(model: Model, num_frames: int, stabilise: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """The poses of a long roll-out of the default model, and the mean of those left alone."""
    first_pose = model.extract_pose(model.render(model.map(latent_of_seed(3, 256), 1.0)))
    stabiliser = model.new_stabiliser() if stabilise else None
    poses = torch.cat(list(islice(model.move(first_pose, 3, stabiliser), num_frames)))
    return poses.flatten(1), poses[: model.manifest.motion_frames].flatten(1).mean(dim=0)


def test_long_videos_stay_among_the_poses_of_short_ones() -> None:
    model = load_model(device="cpu")
    trained = model.manifest.motion_frames
    assert trained == 60
    (held, rest), (free, _) = far(model, 1500, True), far(model, 1500, False)
    torch.testing.assert_close(held[:trained], free[:trained], rtol=0, atol=0)

    def distance(poses: torch.Tensor) -> float:
        return float((poses - rest).norm(dim=1).mean())

    def speed(poses: torch.Tensor) -> float:
        return float((poses[1:] - poses[:-1]).norm(dim=1).mean())

    early, late = slice(0, 300), slice(-300, None)
    assert distance(held[late]) < 1.5 * distance(held[early]) < distance(free[late]) / 3
    assert 0.75 < speed(held[late]) / speed(free[late]) < 1.25  # it moves as much as before
    assert held[2 * trained :].min() >= 0


def test_stabilising_begins_beyond_the_trained_length(model: Model) -> None:
    assert model.manifest.motion_frames == 60  # the published length: the tiny one says nothing
    held, free = (video(model, num_frames=64, stabilise=value) for value in (True, False))
    assert difference(held[:60], free[:60]) == 0 and difference(held[60:], free[60:]) > 0
