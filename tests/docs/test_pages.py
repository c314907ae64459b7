"""The pages hang together: sizes, links, pictures, commands that are told elsewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from doc_blocks import PAGES, ROOT

from stylefacev_cli.version import __version__

README = ROOT / "README.md"
CHANGELOG = ROOT / "CHANGELOG.md"
CARDS = sorted((ROOT / "weights").glob("*.md"))
MAX_README_BYTES = 8000
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)


def without_blocks(page: Path) -> str:
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def anchors_of(page: Path) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", without_blocks(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", one.lower()).strip().replace(" ", "-") for one in headings}


@pytest.mark.parametrize("page", [*PAGES, CHANGELOG, *CARDS], ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    for link in _LINK.findall(without_blocks(page)):
        target, _, anchor = link.partition("#")
        if target.startswith("https://"):
            continue
        file = (page.parent / target).resolve() if target else page
        assert file.exists(), link
        if anchor:
            assert anchor in anchors_of(file), link


def test_the_readme_is_short_and_names_every_page() -> None:
    text = README.read_text(encoding="utf-8")
    assert len(text.encode()) <= MAX_README_BYTES
    for page in PAGES[1:]:
        assert f"(docs/{page.name})" in text, page.name


def test_the_readme_has_the_line_that_runs_the_tests() -> None:
    pattern = r"^pip install -e '\.\[dev\]' && pytest"
    assert re.search(pattern, README.read_text(encoding="utf-8"), re.MULTILINE)
    assert pattern in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


@pytest.mark.parametrize("folder", ["examples/pictures", "docs/pictures"])
def test_every_picture_is_shown(folder: str) -> None:
    shown = {
        (page.parent / link).resolve() for page in PAGES for link in _LINK.findall(page.read_text())
    }
    for picture in (ROOT / folder).iterdir():
        assert picture.resolve() in shown, picture.name


def test_the_changelog_has_this_version_and_short_entries() -> None:
    text = CHANGELOG.read_text(encoding="utf-8")
    assert f"## [{__version__}] - " in text
    entries = re.split(r"^- ", text, flags=re.MULTILINE)[1:]
    for entry in entries:
        first, _, rest = entry.partition("\n")
        assert not re.match(r"  \S", rest), first
        assert len(first) < 120, first


def test_the_upgrade_page_names_every_renamed_key() -> None:
    from stylefacev_cli.training.renamed_keys import RENAMED

    text = (ROOT / "docs" / "upgrade.md").read_text(encoding="utf-8")
    for old, new in RENAMED.items():
        for key in (old, new):
            assert re.search(rf"\b{key.rpartition('.')[2]}\b", text), key
