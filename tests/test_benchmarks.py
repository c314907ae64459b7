"""`python -m stylefacev_cli.benchmarks`, with a stand-in for the original code."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

STAND_IN = """
import time
import torch
from stylefacev_cli.networks.generator import Generator as Ours, GeneratorConfig

class Generator(torch.nn.Module):
    def __new__(cls, mapping_kwargs, **settings):
        ours = Ours(GeneratorConfig(mapping_layers=mapping_kwargs["num_layers"], **settings))
        plain = ours.synthesis.forward
        def slow(ws, noise_mode):
            assert noise_mode == "const"
            time.sleep(0.5)
            return 1.001 * plain(ws)
        ours.synthesis.forward = slow
        return ours
"""


def test_ratio_and_difference_to_the_original(tmp_path: Path) -> None:
    (tmp_path / "training").mkdir()
    (tmp_path / "training" / "networks_stylegan3.py").write_text(STAND_IN)
    command = [sys.executable, "-m", "stylefacev_cli.benchmarks", "--part", "small"]
    command += ["--repeats", "1", "--original", str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    found = re.search(r"original +([\d.]+) ms  float32 +([\d.]+)x  bfloat16 +[\d.]+x", done.stdout)
    assert found is not None, done.stdout
    assert float(found[1]) > 500 and float(found[2]) > 2
    errors = re.findall(r"(\w+) differs by (\S+) of", done.stdout)
    assert [name for name, _ in errors] == ["float32", "bfloat16"]
    assert abs(float(errors[0][1]) - 1e-3) < 1e-4 and 2e-3 < float(errors[1][1]) < 3e-2
