"""Surrogates: networks that stand for slow ones."""

from __future__ import annotations

import numpy as np
import torch

from stylefacev_cli.networks.stylegan3.generator import Generator
from stylefacev_cli.training.batches.clip_frames import Frames
from stylefacev_cli.training.extensions.surrogates import key_point_surrogate, view_surrogate


def test_places_are_guessed_by_a_network_that_is_kept(clips: Frames, generator: Generator) -> None:
    places = key_point_surrogate(generator, clips, seed=1)
    before = torch.random.get_rng_state()
    ws = generator.mapping(clips.factor_batch(np.arange(6)))
    assert places.distance(ws, ws) == 0
    assert torch.equal(torch.random.get_rng_state(), before)
    near = places.distance(ws + 0.1 * (ws.roll(1, 0) - ws), ws)
    assert 0 < near < 0.3 * places.distance(ws.roll(1, 0), ws)
    moving = ws.clone().requires_grad_(True)
    places.distance(moving, ws.roll(1, 0)).backward()
    assert moving.grad is not None and moving.grad[:, 1:].abs().min() > 0
    # It tells how far apart the key points of two frames are.
    points = clips.key_point_batch(np.arange(len(clips.images)))
    pairs = torch.tensor([(0, 40), (3, 90), (10, 11), (25, 70), (50, 110), (1, 2)])
    all_ws = generator.mapping(clips.factor_batch(np.arange(len(points))))
    true = [float((points[a] - points[b]).abs().mean()) for a, b in pairs]
    found = [float(places.distance(all_ws[a][None], all_ws[b][None])) for a, b in pairs]
    assert np.corrcoef(true, found)[0, 1] > 0.8
    other = key_point_surrogate(generator, clips, seed=2)
    other.load_state_dict(places.state_dict())
    assert other.distance(ws.roll(1, 0), ws) == places.distance(ws.roll(1, 0), ws)
    other.load_state_dict({"matrix": torch.zeros(16, 31)})  # of before there was a network
    assert other.distance(ws.roll(1, 0), ws) > 0


def test_linear_view_tells_small_changes_from_large_ones(generator: Generator) -> None:
    view = view_surrogate(generator, seed=1)
    random = torch.Generator().manual_seed(5)
    ws = generator.mapping(torch.randn(24, generator.config.z_dim, generator=random))
    centre = ws.mean(dim=0, keepdim=True)
    near = centre + 0.1 * (ws - centre)
    assert view.distance(ws, ws) == 0
    assert view.distance(near, centre) < 0.11 * view.distance(ws, centre) + 1e-6
    other = view_surrogate(generator, seed=2)
    other.load_state_dict(view.state_dict())
    assert other.distance(ws, centre) == view.distance(ws, centre)
    # It explains a good part of what the generator does.
    pictures = torch.nn.functional.adaptive_avg_pool2d(generator.synthesis(ws), 16).flatten(1)
    matrix = view.state_dict()["matrix"]
    predicted = (ws[:, 0] - centre[:, 0]) @ matrix
    actual = pictures - pictures.mean(dim=0)
    assert (actual - predicted).square().sum() < 0.8 * actual.square().sum()
