from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from stylefacev_cli.errors import DataError, UsageError
from stylefacev_cli.training.batches.clip_frames import Frames, Sampler
from stylefacev_cli.training.batches.video_image_sampler import MixedSampler
from stylefacev_cli.training.engine.batch_split import Share
from stylefacev_cli.training.extensions.augmentation import (
    AdaptiveAugmentation,
    AugmentationConfig,
    Draws,
    augmented,
    looked_up,
    mirrored,
    random_draws,
)

CONFIG = AugmentationConfig()
STILL = AugmentationConfig(
    max_translation=0, scale_octaves=0, max_rotation_deg=0,
    brightness=0, contrast_octaves=0, saturation_octaves=0,
)  # fmt: skip


def images(count: int = 4, size: int = 12) -> torch.Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(1)) * 2 - 1


def draws(count: int = 4, seed: int = 0) -> Draws:
    return random_draws(count, torch.Generator().manual_seed(seed))


def test_with_probability_0_nothing_changes_and_with_1_all_images_do() -> None:
    x = images(8)
    assert torch.equal(augmented(x, 0.0, CONFIG, draws(8)), x)
    changed = augmented(x, 1.0, CONFIG, draws(8)) - x
    assert (changed.abs().mean(dim=(1, 2, 3)) > 0.05).all()
    share = [
        float((augmented(images(64), 0.2, replace(STILL, brightness=1.0), draws(64, seed))
               != images(64)).flatten(1).any(dim=1).float().mean())
        for seed in range(8)
    ]  # fmt: skip
    assert np.mean(share) == pytest.approx(0.2, abs=0.06)


def test_each_share_of_a_batch_is_shown_as_in_the_whole() -> None:
    x, whole = images(8), draws(8)
    shown = augmented(x, 0.7, CONFIG, whole)
    for share in (Share(0, 2), Share(1, 2)):
        samples = share.of(np.arange(8))
        part = augmented(x[samples], 0.7, CONFIG, whole.of(samples))
        torch.testing.assert_close(part, shown[samples], atol=1e-6, rtol=1e-6)


def test_translation_moves_by_whole_pixels() -> None:
    x = images(16)
    y = augmented(x, 1.0, replace(STILL, max_translation=0.25), draws(16))
    shifts = [(dx, dy) for dx in range(-3, 4) for dy in range(-3, 4)]
    inner = slice(3, 9)
    for before, after in zip(x, y, strict=True):
        found = [
            (dx, dy) for dx, dy in shifts
            if torch.allclose(before.roll((dy, dx), (1, 2))[:, inner, inner],
                              after[:, inner, inner], atol=1e-5)
        ]  # fmt: skip
        assert len(found) == 1


def test_a_quarter_turn_and_a_flip_are_exact() -> None:
    x, still = images(1), torch.zeros(1, 2)
    turn = torch.tensor([[[0.0, 1.0], [-1.0, 0.0]]])
    quarter = looked_up(x, turn, still)
    assert any(torch.allclose(quarter, x.rot90(k, (2, 3)), atol=1e-4) for k in (1, 3))
    flip = torch.tensor([[[-1.0, 0.0], [0.0, 1.0]]])
    torch.testing.assert_close(looked_up(x, flip, still), x.flip(3), atol=1e-5, rtol=0)
    assert mirrored(torch.arange(-3, 7), 4).tolist() == [3, 2, 1, 0, 1, 2, 3, 2, 1, 0]
    changed = augmented(images(32), 1.0, replace(STILL, flip=True), draws(32))
    flipped = (changed - images(32).flip(3)).abs().flatten(1).amax(dim=1) < 1e-4
    assert 4 < int(flipped.sum()) < 28


def test_saturation_keeps_grey_and_contrast_scales() -> None:
    grey = images()[:, :1].expand(-1, 3, -1, -1)
    kept = augmented(grey, 1.0, replace(STILL, saturation_octaves=1.0), draws())
    torch.testing.assert_close(kept, grey, atol=1e-5, rtol=1e-5)
    x = images()
    gains = augmented(x, 1.0, replace(STILL, contrast_octaves=0.5), draws()) / x
    spread = gains.flatten(1).std(dim=1)
    assert (spread < 1e-3).all() and gains.flatten(1).mean(dim=1).std() > 0.05


def test_gradients_are_right_once_and_twice() -> None:
    x = images(2, 5).double().requires_grad_()

    def f(values: torch.Tensor) -> torch.Tensor:
        return augmented(values, 1.0, CONFIG, draws(2, 3)).sin()

    assert torch.autograd.gradcheck(f, (x,), atol=1e-4)
    assert torch.autograd.gradgradcheck(f, (x,), atol=1e-3)


def test_p_follows_the_discriminator_and_resumes() -> None:
    config = AugmentationConfig(images_to_full=100, every=2)
    pipe = AdaptiveAugmentation(config)
    sure, unsure = (1.0, 5), (0.2, 5)  # mean signs of five images
    for _ in range(4):
        pipe.note(*sure)
    assert pipe.p == pytest.approx(0.2)
    pipe.note(*unsure)
    again = AdaptiveAugmentation(config)
    again.load_state_dict(pipe.state_dict())
    for one in (pipe, again):
        one.note(*unsure)
    assert pipe.p == again.p == pytest.approx(0.1)
    for _ in range(20):
        pipe.note(-1.0, 5)
    assert pipe.p == 0
    with pytest.raises(UsageError, match="start"):
        AugmentationConfig(start=2)


def test_batches_have_the_share_of_videos_that_was_asked_for(stills: Frames, clips: Frames) -> None:
    both = Frames(
        **{key: np.concatenate([getattr(stills, key), getattr(clips, key)])
           for key in ("images", "factors", "landmarks", "visible", "held_out", "moving")},
        starts=np.concatenate([stills.starts, stills.starts[-1] + clips.starts[1:]]),
        fps=25.0,
    )  # fmt: skip
    sampler = MixedSampler(both, 1, 0.3)
    rows = np.stack([sampler.next(4) for _ in range(25)])
    from_clips = rows >= len(stills.images)
    assert from_clips.sum() == 30 and set(from_clips.sum(axis=1)) == {1, 2}
    assert not both.held_out[rows].any()
    first, second = MixedSampler(both, 1, 0.3), MixedSampler(both, 1, 0.3)
    for _ in range(7):
        first.next(4)
    second.load_state_dict(first.state_dict())
    assert np.array_equal(first.next(4), second.next(4))
    assert (MixedSampler(both, 1, 1.0).next(8) >= len(stills.images)).all()
    for before in (first, Sampler(both.rows(held_out=False), 1)):  # of another setting: begins anew
        third = MixedSampler(both, 1, 1.0)
        third.load_state_dict(before.state_dict())
        assert (third.next(8) >= len(stills.images)).all()
    Sampler(both.rows(held_out=False), 1).load_state_dict(first.state_dict())
    with pytest.raises(DataError, match=r"video_share is 0.5, but the data has no videos"):
        MixedSampler(stills, 1, 0.5)
