"""`torchrun … -m stylefacev_cli train`, from the command line to its saves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from discs import write_discs
from every_stage import clips

from stylefacev_cli.training.engine.checkpoint import CheckpointStore
from stylefacev_cli.training.run import train
from stylefacev_cli.training.settings import load_settings

EXAMPLE = Path(__file__).parents[2] / "examples" / "tiny.yaml"


def newest(run: Path) -> dict[str, Any] | None:
    return CheckpointStore(run / "detector" / "checkpoints").load_newest()


def test_a_stop_of_torchrun_saves_once_and_one_process_goes_on(tmp_path: Path) -> None:
    data, run = write_discs(clips(), tmp_path / "discs"), tmp_path / "run"
    lines: list[str] = []
    start = load_settings(EXAMPLE, [])
    train(start, [data], run, stage="generator", report=lines.append)

    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"),
        *("-m", "stylefacev_cli", "train", "detector", "--config", str(EXAMPLE), "--device", "cpu"),
        *("--data", str(data), "--out", str(run), "--set", "detector.num_images=1000000"),
        *("--set", "frames_in_memory_gb=0"),  # the second process maps what the first unpacks
    ]
    environment = os.environ | {"PYTHONPATH": str(EXAMPLE.parents[1]), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    deadline_s = time.monotonic() + 200
    while not list((run / "detector").glob("checkpoints/*.ckpt")):
        assert process.poll() is None and time.monotonic() < deadline_s
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    output, messages = process.communicate(timeout=200)
    assert process.returncode != 0 and output == ""
    assert len(list((run / "frames").iterdir())) == 1
    told = [line for line in messages.splitlines() if line.startswith("detector: stopped by")]
    assert len(told) == 1, messages
    state = newest(run)
    assert state is not None and f"at step {state['step']}," in told[0]

    more = load_settings(EXAMPLE, [f"detector.num_images={4 * (state['step'] + 2)}"])
    outcome = train(more, [data], run, stage="detector", report=lines.append)
    assert any(f"resumed from step {state['step']}" in line for line in lines)
    assert (outcome.reason, outcome.step) == ("done", state["step"] + 2)


def test_no_gpu_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    from stylefacev_cli.cli.app import run as run_command

    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert run_command(["train", "--config", str(EXAMPLE), "--device", "cuda"]) == 2
    message = capsys.readouterr().err
    assert "process 0 of this machine has no GPU, there are 0" in message
    assert message.count("\n") == 1
