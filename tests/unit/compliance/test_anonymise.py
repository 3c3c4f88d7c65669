"""Anonymised data: the masks of old, and nobody to be found in it wherever he stood."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpd.compliance.anonymise import anonymise, normalised

SECRET = st.from_regex(r"Zq[a-z]{6}", fullmatch=True)
KEYS = st.sampled_from(
    ["name", "firstName", "Full-Name", "PHONE", "ssn", "ip_address", "userId", "patient_id", "creditCard", "address"]
)
PLAIN = st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from(["blue", "a, b", ""])


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"phone": 555, "ssn": "1", "ip": "::1"}, dict.fromkeys(("phone", "ssn", "ip"), "REDACTED")),
        ({"email": "alice@example.org"}, {"email": "al****@example.org"}),
        ({"email": "al@example.org"}, {"email": "****@example.org"}),
        ({"email": "nonsense"}, {"email": "REDACTED"}),
        ({"email": 7}, {"email": "REDACTED"}),
        ({"age": 36}, {"age_group": "30-39"}),
        ({"age": "36"}, {"age_group": "30-39"}),
        ({"age": 93}, {"age_group": "90+"}),
        ({"age": -1}, {"age_group": "REDACTED"}),
        ({"age": "old"}, {"age_group": "REDACTED"}),
        ({"age": None}, {"age_group": "REDACTED"}),
        ({"zip_code": "90210-1234"}, {"zip_code": "902**"}),
        ({"zip_code": 90210}, {"zip_code": "902**"}),
        ({"zip_code": "03601"}, {"zip_code": "000**"}),
        ({"zip_code": "12"}, {"zip_code": "REDACTED"}),
        ({"note": "4111 1111 1111 1111 paid"}, {"note": "REDACTED paid"}),
        ({"note": "order 4111 1111 1111 1112"}, {"note": "order 4111 1111 1111 1112"}),
        ({"card": 4111111111111111}, {"card": "REDACTED"}),
        ({"note": "from 10.1.2.3, 123-45-6789"}, {"note": "from REDACTED, REDACTED"}),
        ({"user": {"name": ["Ada", {"name": "Grace"}]}}, {"user": {"name": ["REDACTED", {"name": "REDACTED"}]}}),
        ({"name": None, "city": "London"}, {"name": None, "city": "London"}),
        ({}, {}),
    ],
)  # fmt: skip
def test_the_masks(data: dict[str, Any], expected: dict[str, Any]) -> None:
    assert anonymise(data) == expected


@pytest.mark.parametrize("key", ["firstName", "First Name", "first_name", "FIRST-NAME", "_first__name_"])
def test_a_key_is_known_in_all_its_spellings(key: str) -> None:
    assert normalised(key) == "first_name"


def nested(secret: str) -> st.SearchStrategy[Any]:
    leaf = st.dictionaries(KEYS, st.just(secret), min_size=1)
    mail = st.just({"email": f"{secret}@example.org", "note": f"write to {secret}@example.org", "mail": secret})
    return st.recursive(
        leaf | mail, lambda part: st.dictionaries(st.sampled_from("abc"), part | st.lists(part) | PLAIN)
    )


@given(st.data(), SECRET)
def test_nobody_is_found_however_deep(data: st.DataObject, secret: str) -> None:
    value = data.draw(nested(secret))
    masked = anonymise(value)
    assert secret not in json.dumps(masked)
    assert anonymise(masked) == masked


@given(st.dictionaries(st.sampled_from("abc"), st.recursive(PLAIN, st.lists)))
def test_what_tells_nothing_of_anybody_stays(value: dict[str, Any]) -> None:
    assert anonymise(value) == value


def test_data_that_is_too_deep_is_refused() -> None:
    value: Any = {}
    for _ in range(70):
        value = {"a": [value]}
    with pytest.raises(ValueError, match="at most 64 deep"):
        anonymise(value)


@pytest.mark.parametrize(
    "text", ["a" * 100_000, "a.b-" * 30_000, "a@" * 50_000, "1 " * 50_000, "1." * 50_000, "f:" * 50_000]
)
def test_no_text_takes_long(text: str) -> None:
    times = []
    for part in (text[: len(text) // 8], text):
        started = time.process_time()
        anonymise({"a": part})
        times.append(time.process_time() - started)
    assert times[1] < max(24 * times[0], 0.5), "eight times the text, in the square 64 times the time"
