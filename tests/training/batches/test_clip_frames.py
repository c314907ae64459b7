"""Samplers of frames."""

from __future__ import annotations

import numpy as np
import pytest
from stage_runs import WINDOW

from stylefacev_cli.errors import DataError
from stylefacev_cli.training.batches.clip_frames import (
    ClipWindow,
    Frames,
    PairSampler,
    WindowSampler,
)


def test_windows_stay_in_their_clip(clips: Frames) -> None:
    windows = WindowSampler(clips, WINDOW, 1, held_out=False).next(200)
    clip_of = np.searchsorted(clips.starts, windows, side="right") - 1
    assert (clip_of == clip_of[:, :1]).all()
    assert (windows[:, 2] - windows[:, 1] == 3).all()
    before = windows[:, 1] - windows[:, 0]
    after = windows[:, 0] - windows[:, 2]
    gap = np.where(before > 0, before, after)
    assert gap.min() == 4 and gap.max() == 8 and 0.3 < (before > 0).mean() < 0.7
    with pytest.raises(DataError, match="200 frames"):
        WindowSampler(clips, ClipWindow(min_gap=196), 1, held_out=False)


def test_pairs_are_two_frames_of_one_clip(stills: Frames, clips: Frames) -> None:
    pairs = PairSampler(clips, 1, held_out=False).next(150)
    clip_of = np.searchsorted(clips.starts, pairs, side="right") - 1
    assert (clip_of[:, 0] == clip_of[:, 1]).all() and (pairs[:, 0] != pairs[:, 1]).all()
    assert not clips.held_out[pairs].any()
    with pytest.raises(DataError, match="render clips"):
        PairSampler(stills, 1, held_out=False)  # each still has a scene of its own
