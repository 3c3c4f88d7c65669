"""What the tests of the cut-over share."""

from __future__ import annotations

from pathlib import Path

import pytest

from mcpd.config import Legacy


@pytest.fixture
def legacy(tmp_path: Path) -> Legacy:
    directory = tmp_path / "old"
    directory.mkdir()
    (directory / "server.py").touch()
    return Legacy(str(directory), ("server.py",), str(tmp_path / "mcp_state.db"))
