from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from stylefacev_cli.networks.stylefacev.landmarks import key_points_from_landmarks
from stylefacev_cli.training.batches.clip_frames import Frames, Sampler
from stylefacev_cli.training.losses import image_losses


def test_face_weights_are_high_where_the_features_are(clips: Frames) -> None:
    landmarks = clips.landmark_batch(np.arange(3))
    weights = image_losses.face_weights(landmarks, 64, face_weight=4, feature_weight=8)
    assert weights.shape == (3, 1, 64, 64)
    assert weights.min() < 1.05 and 4 < weights.max() <= 8
    assert (weights[:, 0, 0, 0] < 1.1).all()


def test_openings_weigh_beside_the_key_points(clips: Frames) -> None:
    wanted = clips.key_point_batch(np.arange(4))
    nodding, blinking = wanted.clone(), wanted.clone()
    nodding[..., 1] += 0.02
    blinking[:, [2, 5], 1] += 0.02  # upper lids come down
    plain = [float(image_losses.key_point_loss(p, wanted, 0)) for p in (nodding, blinking)]
    torch.testing.assert_close(torch.tensor(plain), torch.tensor([0.02**2 / 2, 0.02**2 / 14]))
    weighted = [float(image_losses.key_point_loss(p, wanted, 30)) for p in (nodding, blinking)]
    assert weighted[0] == plain[0] and weighted[1] > plain[1] + 30 * 0.02**2 * 2 / 6 * 0.99
    true = image_losses.openings(torch.rand(9, 14, 2))
    assert image_losses.explained(true, true) == 1
    assert abs(image_losses.explained(true.mean(dim=0).expand_as(true), true)) < 1e-3


def test_key_points_give_much_the_same_weights_as_landmarks(clips: Frames) -> None:
    landmarks = clips.landmark_batch(np.arange(3))
    key_points = key_points_from_landmarks(landmarks)
    fine = image_losses.face_weights(landmarks, 64, face_weight=4, feature_weight=8)
    coarse = image_losses.key_point_weights(key_points, 64, face_weight=4, feature_weight=8)
    assert coarse.shape == fine.shape and 1 <= coarse.min() and 7.5 < coarse.max() <= 8
    pair = torch.stack([fine.flatten(), coarse.flatten()])
    assert torch.corrcoef(pair)[0, 1] > 0.7
    for part in image_losses.KEY_POINT_FEATURES:  # eyes and mouth weigh most
        x, y = (key_points[0, list(part)].mean(dim=0) * 64).long().tolist()
        assert coarse[0, 0, y, x] > 7
    plain = image_losses.key_point_weights(key_points, 64, face_weight=1, feature_weight=1)
    assert torch.equal(plain, torch.ones_like(plain))


def test_image_losses_vanish_only_on_equal_images() -> None:
    a, b = torch.rand(2, 3, 16, 16), torch.rand(2, 3, 16, 16)
    weights = torch.rand(2, 1, 16, 16) + 0.5
    for loss in (
        lambda x, y: image_losses.image_loss(x, y, weights, 3),
        lambda x, y: image_losses.gradient_loss(x, y, weights),
    ):
        assert loss(a, a) == 0 and loss(a, b) > 0
    assert image_losses.gradient_loss(a + 1, a, weights) < 1e-6  # blind to a shift in brightness


def test_adaptive_wing_against_its_formula_in_numpy() -> None:
    # Written from equation 3 by branches, value by value.
    alpha, omega, epsilon, theta = 2.1, 14.0, 1.0, 0.5

    def reference(y: float, p: float) -> float:
        d, e = abs(y - p), alpha - y
        if d < theta:
            return float(omega * np.log(1 + (d / epsilon) ** e))
        a = omega / (1 + (theta / epsilon) ** e) * e * (theta / epsilon) ** (e - 1) / epsilon
        c = theta * a - omega * np.log(1 + (theta / epsilon) ** e)
        return float(a * d - c)

    pairs = [(y, p) for y in (0.0, 0.3, 1.0) for p in (-0.4, 0.0, 0.2, 0.499, 0.8, 1.7)]
    target, predicted = torch.tensor(pairs, dtype=torch.float64).T
    wanted = torch.tensor([reference(y, p) for y, p in pairs], dtype=torch.float64)
    torch.testing.assert_close(image_losses.adaptive_wing(predicted, target), wanted)


def test_adaptive_wing_is_smooth_and_differentiable_at_zero() -> None:
    target = torch.tensor([0.0, 1.0])
    predicted = target.clone().requires_grad_(True)
    image_losses.adaptive_wing(predicted, target).sum().backward()
    assert predicted.grad is not None and torch.all(predicted.grad == 0)
    near = image_losses.adaptive_wing(target + 0.5 - 1e-6, target)
    far = image_losses.adaptive_wing(target + 0.5 + 1e-6, target)
    torch.testing.assert_close(near, far, atol=1e-4, rtol=0)


def test_r1_is_half_the_squared_gradient() -> None:
    linear = nn.Sequential(nn.Flatten(), nn.Linear(12, 1))
    penalty = image_losses.r1_penalty(linear, torch.rand(5, 3, 2, 2))
    weight = linear.get_submodule("1").get_parameter("weight")
    torch.testing.assert_close(penalty, weight.square().sum() / 2)


def test_sampler_takes_every_row_once_and_goes_on_where_it_was() -> None:
    rows = np.arange(100, 110)
    sampler = Sampler(rows, seed=3)
    assert sorted(np.concatenate([sampler.next(4), sampler.next(6)])) == list(rows)
    sampler.next(7)
    state, wanted = sampler.state_dict(), sampler.next(9)
    again = Sampler(rows, seed=3)
    again.load_state_dict(state)
    assert np.array_equal(again.next(9), wanted)
    grown = Sampler(np.arange(100, 130), seed=3)  # more data than at the save
    grown.load_state_dict(state)
    assert sorted(grown.next(30)) == list(range(100, 130))


def test_sampler_begins_anew_with_other_data_of_as_many_rows() -> None:
    rows = np.arange(10)
    sampler = Sampler(rows, seed=3, data="one")
    sampler.next(14)
    state, wanted = sampler.state_dict(), sampler.next(6)
    for data, expected in (("one", wanted), ("two", None)):
        again = Sampler(rows, seed=3, data=data)
        again.load_state_dict(state)
        assert expected is None or np.array_equal(again.next(6), expected)
        assert sorted(again.next(10)) == list(rows)
    del state["data"]  # of an older save
    again = Sampler(rows, seed=3, data="two")
    again.load_state_dict(state)
    assert np.array_equal(again.next(6), wanted)


def test_hair_weighs_softly() -> None:
    hair = torch.zeros(2, 1, 4, 4)
    hair[1, :, :, 2:] = 1
    weights = image_losses.hair_weights(hair, 16, 5.0)
    assert weights.shape == (2, 1, 16, 16) and torch.all(weights[0] == 1)
    row = weights[1, 0, 8]
    assert row[0] == 1 and row[-1] == 5 and torch.all(row.diff() >= 0)
    assert ((row > 1) & (row < 5)).sum() == 4  # from the middle of one cell to that of the next
    assert torch.all(image_losses.hair_weights(hair, 16, 1.0) == 1)


def test_relativistic_pairs_compare_each_with_its_own() -> None:
    better, worse = torch.tensor([5.0, -3.0]), torch.tensor([4.0, -5.0])
    wanted = (math.log1p(math.exp(-1)) + math.log1p(math.exp(-2))) / 2
    assert float(image_losses.relativistic_pairs(better, worse)) == pytest.approx(wanted)
    assert image_losses.relativistic_pairs(
        better + 7, worse + 7
    ) == image_losses.relativistic_pairs(better, worse)


def test_detail_drops_shading_and_keeps_texture() -> None:
    shade = torch.linspace(-1, 1, 32)[None, None, None, :].expand(1, 3, 32, 32)
    texture = 0.1 * torch.tensor([1.0, -1.0]).repeat(16)[None, None, None, :].expand_as(shade)
    found = image_losses.detail(shade + texture, 8)
    inner = (..., slice(8, -8))  # at the border the interpolation is flat
    torch.testing.assert_close(found[inner], texture[inner], atol=1e-3, rtol=0)
    assert image_losses.detail(shade, 0) is shade
