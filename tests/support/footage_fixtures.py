from __future__ import annotations

import hashlib
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from footage import FACE_PX, U8, face_template
from PIL import Image


@pytest.fixture(scope="session")
def faces() -> list[U8]:
    """Three people, ten frames each, uint8 [10, 96, 96, 3]."""
    from stylefacev_cli.pipeline import load_model

    model = load_model("default-64")  # canonical: its faces fill the frame
    people = []
    for seed in (3, 4, 7):
        images = [Image.fromarray(frame) for frame in model.sample(seed, 10)]
        large = [image.resize((FACE_PX, FACE_PX), Image.Resampling.LANCZOS) for image in images]
        people.append(np.stack([np.asarray(image) for image in large]))
    return people


@pytest.fixture
def fake_face_alignment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """A library `face_alignment` that takes bright green squares for faces; how it was started."""
    from stylefacev_cli.detection import alignment_finder

    started: list[dict[str, Any]] = []

    def box_of(picture: U8) -> np.ndarray | None:
        rows, columns = np.nonzero(picture[..., 1] > 200)
        if not len(rows):
            return None
        corners = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        return np.array([*corners, 0.9], np.float32)

    class Detector:
        def detect_from_image(self, picture: U8) -> list[np.ndarray]:
            box = box_of(picture)
            return [] if box is None else [box]

    class FaceAlignment:
        def __init__(self, kind: int, **options: Any) -> None:
            started.append(options)
            self.face_detector = Detector()

        def get_landmarks_from_image(
            self, picture: U8, detected_faces: list[np.ndarray], return_landmark_score: bool
        ) -> Any:
            box = box_of(picture)
            seen = box is not None
            left, top, right, bottom = detected_faces[0][:4] if box is None else box[:4]
            points = face_template() * [right - left, bottom - top] + [left, top]
            return [points], [np.full(68, 0.9 if seen else 0.01)], None

    library: Any = types.ModuleType("face_alignment")
    library.__version__ = "1.5.0"
    library.LandmarksType = types.SimpleNamespace(TWO_D=1)
    library.FaceAlignment = FaceAlignment
    monkeypatch.setitem(sys.modules, "face_alignment", library)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    (folder / "weights.pth").write_bytes(b"weights")
    begins = hashlib.sha256(b"weights").hexdigest()[:10]
    monkeypatch.setattr(alignment_finder, "FILES", {"weights.pth": begins})
    return started
