from __future__ import annotations

import fnmatch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpd.store.claims import Claim
from mcpd.tools import conflicts
from mcpd.tools.paths import normalise, overlap


@pytest.mark.parametrize(
    ("path", "expected"),
    [("a", "a"), ("./a//b/", "a/b"), ("a/./b/../c", "a/c"), ("/srv/x/", "/srv/x"), ("src/**", "src/**")],
)
def test_one_form_for_a_path(path: str, expected: str) -> None:
    assert normalise(path) == expected


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("a", "a", True),
        ("a", "a/b/c", True),
        ("a", "ab", False),
        ("a/b", "a/c", False),
        ("/a", "a", False),
        ("/a", "/a/b", True),
        ("*.py", "x.py", True),
        ("*.py", "x.pyc", False),
        ("*.py", "src/x.py", False),
        ("**/*.py", "src/x.py", True),
        ("**/*.py", "x.py", True),
        ("src/**", "src", True),
        ("src/**/test_*.py", "src/a/b/test_x.py", True),
        ("src/**/test_*.py", "lib/test_x.py", False),
        ("a/*/c", "a/b", True),
        ("a/*/c", "a/b/d", False),
        ("a*c", "ab*", True),
        ("a*c", "b*", False),
        ("a?c", "abc", True),
        ("a?c", "ac", False),
        ("[ab].py", "a.py", True),
        ("*x*", "*y*", True),
        ("a**b", "axxb", True),
        ("*", "*", True),
        ("?", "**", True),
    ],
)
def test_which_claims_overlap(first: str, second: str, expected: bool) -> None:
    assert overlap(first, second) is expected
    assert overlap(second, first) is expected


NAMES = st.text("ab*?", min_size=1, max_size=5).filter(lambda name: "**" not in name)
LITERALS = st.text("ab", min_size=1, max_size=5)


@given(NAMES, LITERALS)
def test_a_pattern_overlaps_a_name_exactly_when_it_matches(pattern: str, name: str) -> None:
    assert overlap(pattern, name) == fnmatch.fnmatchcase(name, pattern)


@given(NAMES, NAMES, LITERALS)
def test_patterns_that_both_match_a_name_overlap(first: str, second: str, name: str) -> None:
    if fnmatch.fnmatchcase(name, first) and fnmatch.fnmatchcase(name, second):
        assert overlap(first, second)


@given(st.lists(st.sampled_from(["a", "b", "*", "**"]), min_size=1, max_size=5), st.lists(LITERALS, max_size=3))
def test_a_claim_covers_what_lies_beneath_it(segments: list[str], beneath: list[str]) -> None:
    path = "/".join(segments)
    assert overlap(path, "/".join([*segments, *beneath]))


TARGETS = st.lists(st.sampled_from(["a", "b", "*", "**"]), min_size=1, max_size=3).map("/".join)


@given(st.lists(st.tuples(st.sampled_from("xyz"), TARGETS), max_size=8, unique=True))
def test_the_conflicts_are_exactly_the_overlapping_pairs(held: list[tuple[str, str]]) -> None:
    claims = [Claim(agent, "edit", "path", target, "r", None, 1) for agent, target in held]
    found = {
        frozenset((holder.agent, holder.target) for holder in conflict.holders)
        for conflict in conflicts.between(claims, {"x", "y", "z"})
    }
    pairs = [(first, second) for first in held for second in held if first < second and first[0] != second[0]]
    assert found == {frozenset(pair) for pair in pairs if overlap(pair[0][1], pair[1][1])}
