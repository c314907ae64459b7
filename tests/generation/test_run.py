"""Plans and runs of the engine, without a terminal."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import TINY_RESOLUTION_PX

from stylefacev_cli.common.listener import LogListener
from stylefacev_cli.errors import UsageError
from stylefacev_cli.generation.outputs.output import Clock
from stylefacev_cli.generation.plan import plan_videos
from stylefacev_cli.generation.requests import FormatOptions, GenerateRequest, RenderOptions
from stylefacev_cli.generation.run import Session, open_session, render, run
from stylefacev_cli.weights import manifest as manifest_module

SIDE = TINY_RESOLUTION_PX


@pytest.fixture
def compute(tiny_model: Path) -> RenderOptions:
    return RenderOptions(model=str(tiny_model), device="cpu")


def session_of(request: GenerateRequest, clock: Clock | None = None) -> Session:
    manifest = plan_videos(request).settings.manifest
    return open_session(manifest, request.compute, LogListener(), clock or Clock())


def test_a_spec_holds_all_that_rendering_needs(compute: RenderOptions) -> None:
    request = GenerateRequest(
        seeds="3,4", motion_seeds=("7,8",), frames=5, grid=True, out=None, compute=compute
    )
    plan = plan_videos(request)
    (spec,) = plan.specs
    assert (spec.rows, spec.columns, spec.num_frames, spec.path) == (2, 2, 5, None)
    assert [face.identities[0].seed for face in spec.faces] == [3, 3, 4, 4]
    assert [face.motion.motion_seed for face in spec.faces] == [7, 8, 7, 8]
    assert spec.about["seeds"] == [3, 4] and spec.about["width"] == 2 * SIDE
    with pytest.raises(dataclasses.FrozenInstanceError):
        spec.rows = 3  # type: ignore[misc]
    session = session_of(request)
    frames = [np.stack(list(render(spec, session))) for _ in range(2)]
    assert frames[0].shape == (5, 2 * SIDE, 2 * SIDE, 3)
    assert np.array_equal(*frames)


def test_videos_go_to_files_and_streams(compute: RenderOptions, tmp_path: Path) -> None:
    npy = FormatOptions(format="npy")
    request = GenerateRequest(seeds="3-4", frames=4, out=str(tmp_path), compute=compute, form=npy)
    session = session_of(request)
    results = list(run(plan_videos(request), session))
    assert [result.path for result in results] == [tmp_path / "3.npy", tmp_path / "4.npy"]
    assert results[0].record["device"] == "cpu" and results[0].record["seed"] == 3
    again = dataclasses.replace(request, skip_existing=True, seeds="3-5")
    plan = plan_videos(again)
    assert plan.skipped == (str(tmp_path / "3.npy"), str(tmp_path / "4.npy"))
    assert [spec.name for spec in plan.specs] == ["seed 5"]
    streamed = plan_videos(dataclasses.replace(request, seeds="3", out="-"))
    stream = io.BytesIO()
    (result,) = run(streamed, session, stream)
    assert result.path is None
    stream.seek(0)
    assert np.array_equal(np.load(stream), np.load(tmp_path / "3.npy"))
    with pytest.raises(UsageError, match="stream"):
        list(run(streamed, session))
    summary = session.clock.summary()
    parts = sum(value for key, value in summary.items() if key != "total_s")
    assert summary["total_s"] == pytest.approx(parts, abs=1e-3)


def test_the_manifest_is_read_once(compute: RenderOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    read, parse = [], manifest_module._parse

    def count(*arguments: Any) -> Any:
        read.append(arguments)
        return parse(*arguments)

    monkeypatch.setattr(manifest_module, "_parse", count)
    request = GenerateRequest(frames=2, out=None, compute=compute)
    plan = plan_videos(request)
    session = open_session(plan.settings.manifest, compute, LogListener(), Clock())
    assert len(list(render(plan.specs[0], session))) == 2
    assert len(read) == 1
