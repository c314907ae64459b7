"""No two runs make one file: names are claimed before the work, and free when a run has ended."""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stylefacev_cli.errors import StyleFaceVError, UsageError
from stylefacev_cli.generation.outputs.claims import CLAIMS_NAME, claimed

_HOLD = """
import sys
from pathlib import Path
from stylefacev_cli.generation.outputs.claims import claimed
with claimed([[Path(name)] for name in sys.argv[1:]], force=False) as ours:
    print(ours, flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def another_run(*paths: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", _HOLD, *map(str, paths)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stdout.readline().startswith("[True")
        yield process
        process.kill()


def test_the_second_is_refused_until_the_first_has_ended_or_was_killed(tmp_path: Path) -> None:
    mine, theirs = tmp_path / "new" / "1.mp4", tmp_path / "new" / "2.mp4"
    with another_run(theirs) as process:
        for force in (False, True):
            with pytest.raises(StyleFaceVError, match=r"another run is writing .*2\.mp4: wait"):
                with claimed([[mine], [theirs]], force=force):
                    pass
        with claimed([[mine], [theirs]], force=False, skip_existing=True) as ours:
            assert ours == [True, False]
        process.kill()
        process.wait()
        assert os.listdir(tmp_path / "new") == [CLAIMS_NAME]
        with claimed([[mine], [theirs]], force=False) as ours:
            assert ours == [True, True]
    assert os.listdir(tmp_path / "new") == []


def test_a_run_that_ends_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "1.mp4"
    with another_run(path) as process:
        assert process.stdin is not None
        process.stdin.close()
        process.wait()
        assert os.listdir(tmp_path) == []
    with pytest.raises(KeyboardInterrupt), claimed([[path]], force=False):
        assert os.listdir(path.parent) == [CLAIMS_NAME]
        raise KeyboardInterrupt
    assert os.listdir(tmp_path) == []


def test_what_was_written_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "1.mp4"
    path.write_text("theirs")
    with pytest.raises(UsageError, match="would be overwritten"), claimed([[path]], force=False):
        pass
    with claimed([[path]], force=False, skip_existing=True) as ours:
        assert ours == [False]
    with claimed([[path]], force=True) as ours:
        assert ours == [True]
    assert path.read_text() == "theirs" and os.listdir(tmp_path) == ["1.mp4"]


def test_an_output_of_several_files_is_claimed_whole_or_not_at_all(tmp_path: Path) -> None:
    latent, picture = tmp_path / "a.safetensors", tmp_path / "a.safetensors.png"
    with claimed([[picture]], force=False):
        with claimed([[latent, picture]], force=False, skip_existing=True) as ours:
            assert ours == [False]
        with claimed([[latent]], force=False) as ours:
            assert ours == [True]


def test_who_ends_leaves_the_claims_of_others(tmp_path: Path) -> None:
    with another_run(tmp_path / "1.mp4"):
        with claimed([[tmp_path / "2.mp4"]], force=False):
            pass
        with claimed([[tmp_path / "1.mp4"]], force=False, skip_existing=True) as ours:
            assert ours == [False]


def test_a_planted_link_is_left_alone(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    (tmp_path / CLAIMS_NAME).symlink_to(victim)
    with claimed([[tmp_path / "1.mp4"]], force=False) as ours:
        assert ours == [True] and not victim.exists()
    assert (tmp_path / CLAIMS_NAME).is_symlink()


def test_a_folder_without_locks_has_no_claims(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "lockf", none)
    with claimed([[tmp_path / "1.mp4"], [tmp_path / "2.mp4"]], force=False) as ours:
        assert ours == [True, True]
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("more", [[], ["--force"], ["--skip-existing"]])
def test_generate_beside_another_run(
    workplace: None, generate: Callable[..., tuple[int, str, str]], tmp_path: Path, more: list[str]
) -> None:
    arguments = ["--seeds", "0-1", "--frames", "1", "-o", "{seed}.npy", *more]
    with another_run(tmp_path / "1.npy"):
        code, out, err = generate(*arguments)
    if more == ["--skip-existing"]:
        assert code == 0 and out == "0.npy\n" and "1 of 2" in err
        assert sorted(os.listdir(tmp_path)) == [CLAIMS_NAME, "0.npy", "0.npy.json"]
    else:
        assert code == 1 and out == "" and os.listdir(tmp_path) == [CLAIMS_NAME]
        assert err.splitlines() == [
            "error: another run is writing 1.npy: wait for it, or add --skip-existing, or choose "
            "another --out"
        ]
