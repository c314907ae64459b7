"""A studio for the tests that render; they are skipped where no picture can be made."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from stylefacev_cli.errors import StyleFaceVError


@pytest.fixture(scope="session")
def studio() -> Iterator[object]:
    pytest.importorskip("moderngl")
    from stylefacev_cli.faces.studio import Studio

    try:
        made = Studio(size_px=64)
    except StyleFaceVError as error:
        pytest.skip(f"no rendering here: {error}")
    yield made
