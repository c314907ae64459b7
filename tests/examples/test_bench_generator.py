"""`python examples/bench_generator.py`, with a stand-in for the original code."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

STAND_IN = """
import time
from distutils.util import strtobool  # as the original does, which is older than what took it away

import torch
from pkg_resources import parse_version
from stylefacev_cli.networks.stylegan3.generator import Generator as Ours, GeneratorConfig

assert parse_version("1.9.0+cpu") < parse_version("1.11.0a") <= parse_version(torch.__version__)
assert strtobool("yes") and not strtobool("0")

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


def benchmarked(folder: Path) -> subprocess.CompletedProcess[str]:
    script = Path(__file__).parents[2] / "examples" / "bench_generator.py"
    command = [sys.executable, str(script), "--part", "small"]
    command += ["--repeats", "1", "--original", str(folder)]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def test_ratio_and_difference_to_the_original(tmp_path: Path) -> None:
    (tmp_path / "training").mkdir()
    (tmp_path / "training" / "networks_stylegan3.py").write_text(STAND_IN)
    done = benchmarked(tmp_path)
    assert done.returncode == 0, done.stderr
    found = re.search(r"original +([\d.]+) ms  float32 +([\d.]+)x  bfloat16 +[\d.]+x", done.stdout)
    assert found is not None, done.stdout
    assert float(found[1]) > 500 and float(found[2]) > 2
    errors = re.findall(r"(\w+) differs by (\S+) of", done.stdout)
    assert [name for name, _ in errors] == ["float32", "bfloat16"]
    assert abs(float(errors[0][1]) - 1e-3) < 1e-4 and 2e-3 < float(errors[1][1]) < 3e-2


def test_what_is_not_the_original_code_is_told(tmp_path: Path) -> None:
    """A folder without it at once; code that fails in a line below what it printed."""
    done = benchmarked(tmp_path)
    assert done.returncode == 2 and done.stdout == ""
    assert f"{tmp_path} is not StyleGAN3's code" in done.stderr
    (tmp_path / "training").mkdir()
    (tmp_path / "training" / "networks_stylegan3.py").write_text("import nothing_of_that_name")
    done = benchmarked(tmp_path)
    assert done.returncode == 1 and "No module named 'nothing_of_that_name'" in done.stderr
    last = f"failed: the code in {tmp_path} did not draw a frame; what it printed is above"
    assert done.stderr.splitlines()[-1] == last
