from __future__ import annotations

from collections.abc import Callable

import pytest
from evaluation_fixtures import evaluate, frames, straw

from stylefacev_cli.cli.app import run
from stylefacev_cli.errors import StyleFaceVError
from stylefacev_cli.evaluation import rendered_pairs

__all__ = ["evaluate", "frames", "straw"]

RULE = rendered_pairs.PairRule(num_pairs=3, seed=5, look="procedural")


@pytest.fixture(scope="module")
def people() -> rendered_pairs.RenderedPairs:
    pytest.importorskip("moderngl")
    try:
        return rendered_pairs.RenderedPairs(RULE, 32)
    except StyleFaceVError as error:
        pytest.skip(f"no rendering here: {error}")


@pytest.fixture
def evaluate_renders(
    people: rendered_pairs.RenderedPairs, capfd: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """As `evaluate`, with the files of this machine, which renders need."""

    def evaluation(*arguments: str) -> tuple[int, str, str]:
        code = run(["eval", *arguments])
        return (code, *capfd.readouterr())

    return evaluation
