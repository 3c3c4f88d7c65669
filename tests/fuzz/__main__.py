"""``python -m tests.fuzz SECONDS [CORPUS]``: fuzz the HTTP and JSON-RPC input with atheris, from seeds kept here."""

from __future__ import annotations

import sys
import tempfile

import atheris

with atheris.instrument_imports(include=["mcpd"]):
    from tests.fuzz.target import SEEDS, new_target


def main() -> None:
    if len(sys.argv) not in (2, 3) or not sys.argv[1].isdigit():
        sys.exit("usage: python -m tests.fuzz SECONDS [CORPUS]")
    corpus = sys.argv[2:] or []
    target = new_target()
    findings = tempfile.mkdtemp(prefix="mcpd-findings")
    limits = [f"-max_total_time={sys.argv[1]}", "-max_len=4096", "-timeout=10", f"-artifact_prefix={findings}/"]
    options = [*limits, *corpus, str(SEEDS)]
    atheris.Setup([sys.argv[0], *options], lambda data: target.feed(data) and None)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
