"""Seeds as people write them, and as nobody should."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stylefacev_cli.common.seed_ranges import MAX_NUM_SEEDS, MAX_SEED, parse_seeds
from stylefacev_cli.errors import UsageError


@pytest.mark.parametrize(
    ("text", "seeds"),
    [
        ("0", [0]),
        ("0-3", [0, 1, 2, 3]),
        ("0-2,12", [0, 1, 2, 12]),
        (" 7 , 5 - 6".replace(" - ", "-"), [7, 5, 6]),
        ("3,1-4,3", [3, 1, 2, 4]),
        ("007", [7]),
        (f"{MAX_SEED}", [MAX_SEED]),
        ("5-5", [5]),
    ],
)
def test_accepted(text: str, seeds: list[int]) -> None:
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", ",", "1,", ",1", "9-0", "-1", "1-", "1--2", "1-2-3", "a", "1.5", "1e3", "+1"),
        *("0x10", "1_000", "٣", "１", "1\n2", "1;2", "0-1000000", "4294967296", "0-99999999999"),
        "9" * 5000,
    ],
)
def test_refused_with_the_accepted_form(text: str) -> None:
    with pytest.raises(UsageError, match="--seeds") as caught:
        parse_seeds(text)
    assert len(str(caught.value)) < 200 and "\n" not in str(caught.value)


ranges = st.lists(st.tuples(st.integers(0, MAX_SEED), st.integers(0, 40)), min_size=1, max_size=8)


@given(ranges)
def test_every_list_of_ranges_comes_back(parts: list[tuple[int, int]]) -> None:
    parts = [(first, min(first + length, MAX_SEED)) for first, length in parts]
    text = ",".join(f"{a}-{b}" if a != b else f"{a}" for a, b in parts)
    expected = list(dict.fromkeys(seed for a, b in parts for seed in range(a, b + 1)))
    assert parse_seeds(text) == expected


@given(st.text(alphabet="0123456789-,. ax", max_size=20))
def test_anything_else_is_a_usage_error(text: str) -> None:
    try:
        seeds = parse_seeds(text)
    except UsageError:
        return
    assert 0 < len(seeds) <= MAX_NUM_SEEDS and all(0 <= seed <= MAX_SEED for seed in seeds)
    assert len(set(seeds)) == len(seeds)
