"""`stylefacev eval`: its commands, and how bad input is refused."""

from __future__ import annotations

import pytest
from evaluation_fixtures import Evaluate


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["fvd", "--fake", "no", "--real", "no"], 5, "no such folder: no"),
        (["fvd", "--fake", "no", "--real", "no", "--protocol", "fvd"], 2, "fvd2048_16f"),
        (["fvd", "--fake", "no", "--real", "no", "--frames", "4"], 2, "at least 9"),
        (["fvd", "--fake", "model:?steps=3", "--real", "no"], 2, "no setting 'steps'"),
        (["fvd", "--fake", "model:nobody", "--real", "no"], 3, "unknown model 'nobody'"),
        (["fid", "--fake", "no", "--real", "no", "--resize", "near"], 2, "no resize rule"),
        (["fid", "--fake", "no", "--real", "no", "--features", "vgg"], 2, "no feature network"),
        (
            ["fid", "--fake", "a", "--real", "b", "--features", "inception-2015"],
            3,
            "give --features",
        ),
        (["motion", "--fake", "model:?seeds=9-1"], 2, "backwards"),
        (["identity", "--fake", "model:", "--features", "eyes"], 2, "no face network 'eyes'"),
        (["identity", "--fake", "model:", "--features", "dlib-face"], 3, "by hand"),
        (["identity", "--fake", "no"], 5, "no such folder: no"),
        (["diversity", "--fake", "model:?motion_seeds=3-1"], 2, "motion_seeds: 3-1 runs back"),
        (["diversity", "--fake", "model:", "--features", "eyes"], 2, "no image distance"),
        (["motion", "--fake", __file__], 5, "is a file: give the folder"),
        (["kid", "--fake", "no", "--real", "no", "--images", "9"], 2, "`eval fid`"),
        (["compare", "no"], 2, "Missing argument"),
    ],
)
def test_bad_input_gets_one_line(
    evaluate: Evaluate, arguments: list[str], code: int, message: str
) -> None:
    returned, out, err = evaluate(*arguments)
    assert (returned, out) == (code, "")
    assert message in err and err.count("\n") == 1
