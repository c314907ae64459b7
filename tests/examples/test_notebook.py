"""The notebook of `examples/`: its cells run in order, and nothing of a run is stored in it."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

NOTEBOOK = Path(__file__).parents[2] / "examples" / "notebook.ipynb"


def code_cells() -> list[dict[str, Any]]:
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


def show(cell: str, names: dict[str, Any]) -> Any:
    """Run a cell; the value of its last line, as a notebook shows it."""
    tree = ast.parse(cell)
    last = tree.body[-1]
    if not isinstance(last, ast.Expr):
        exec(compile(tree, "cell", "exec"), names)
        return None
    exec(compile(ast.Module(tree.body[:-1], []), "cell", "exec"), names)
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names)


def test_outputs_are_stripped() -> None:
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in code_cells())


def test_cells_run_in_order(
    tiny_model: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STYLEFACEV_MODEL", str(tiny_model))
    monkeypatch.setenv("STYLEFACEV_OFFLINE", "1")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    names: dict[str, Any] = {}
    shown = [show("".join(cell["source"]), names) for cell in code_cells()]
    for value in shown:
        if isinstance(value, Image.Image):
            value.load()  # closes its file
    videos = [value for value in shown if hasattr(value, "_repr_html_")]
    assert len(videos) == 6
    assert all(video._repr_html_().startswith("<video ") for video in videos)
    assert all(repr(value).count("\n") == 0 for value in shown)
    written = {path.name for path in tmp_path.iterdir()}
    assert {"three.mp4", "me.safetensors", "three.safetensors", "nine.mp4.json"} <= written
