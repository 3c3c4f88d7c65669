"""The confinement of files, where the disk changes under the reader."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcpd.errors import ConfigError, Error, ResourceDenied, ResourceNotFound
from mcpd.resources import files
from mcpd.resources.files import Files

LIMIT = 4096


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "f").write_text("private")
    made = tmp_path / "root"
    (made / "d").mkdir(parents=True)
    (made / "d" / "f").write_text("public")
    return made


def reason(served: Files, uri: str) -> str:
    with pytest.raises(ResourceDenied) as refused:
        served.read(uri)
    data: Any = refused.value.data
    assert data["uri"] == uri
    return str(data["reason"])


@pytest.mark.parametrize("planted", ["d/f", "d"])
def test_a_link_planted_between_the_check_and_the_opening_is_not_followed(
    root: Path, planted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = Files([str(root)], LIMIT)
    assert served.read("file://d/f") == b"public"
    locate = Files._locate

    def swap(self: Files, uri: str, path: str) -> Any:
        found = locate(self, uri, path)
        target = root / planted
        shutil.rmtree(target) if target.is_dir() else target.unlink()
        target.symlink_to(root.parent / "outside" / ("f" if planted == "d/f" else ""))
        return found

    monkeypatch.setattr(Files, "_locate", swap)
    with pytest.raises((ResourceDenied, ResourceNotFound)):
        served.read("file://d/f")


def test_a_root_behind_a_link_is_the_directory_it_leads_to(root: Path) -> None:
    (root.parent / "link").symlink_to(root)
    served = Files([str(root.parent / "link")], LIMIT)
    for uri in ("file://d/f", f"file://{root.parent}/link/d/f", f"file://{root}/d/f"):
        assert served.read(uri) == b"public"


def test_a_file_that_grows_or_hides_its_size_is_still_limited(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "growing").write_bytes(b"x" * (LIMIT + 1))
    small = (root / "d" / "f").stat()
    monkeypatch.setattr(os, "fstat", lambda _fd: small)
    assert reason(Files([str(root)], LIMIT), "file://growing") == "too_large"


def test_a_file_that_mcpd_may_not_read_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = os.open

    def guarded(path: Any, flags: int, **more: Any) -> int:
        if path == "f":
            raise PermissionError(errno.EACCES, "no")  # root, who runs tests too, may read everything
        return opened(path, flags, **more)

    monkeypatch.setattr(os, "open", guarded)
    assert reason(Files([str(root)], LIMIT), "file://d/f") == "unreadable"


def test_what_exists_is_what_can_be_read(root: Path) -> None:
    (root / "token").write_text("x")
    served = Files([str(root)], LIMIT)
    assert [served.exists(f"file://{path}") for path in ("d/f", "d", "token", "none", "../outside/f")] == [
        True, False, False, False, False,
    ]  # fmt: skip


def test_no_descriptor_is_left_open(root: Path) -> None:
    os.mkfifo(root / "fifo")
    (root / "loop").symlink_to("loop")
    served = Files([str(root)], LIMIT)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for uri in ("file://d/f", "file://d", "file://fifo", "file://loop", "file://d/f/x", "file://none", "file://.."):
        with contextlib.suppress(Error):
            served.read(uri)
        served.exists(uri)
    served.beginning("d/")
    served.beginning("d/f/")
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_completion_looks_at_a_bounded_number_of_entries(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_MAX_ENTRIES", 3)
    for number in range(9):
        (root / "d" / f"n{number}").touch()
    assert 2 <= len(Files([str(root)], LIMIT).beginning("d/n")) <= 3
    assert Files([], LIMIT).beginning("") == []


@pytest.mark.parametrize("root", ["relative", "", "/", "//", "/.", "/x/..", "~/x"])
def test_a_root_is_an_absolute_path_of_a_directory(root: str) -> None:
    with pytest.raises(ConfigError, match=r"resources\.roots"):
        Files([root], LIMIT)


PIECE = st.sampled_from(
    ["..", ".", "/", "%2e", "%2E%2e", "%2f", "%5c", "\\", "d", "f", "outside", "%00", "%c0%ae", "~", "link"]
)


@settings(max_examples=300, deadline=None)
@given(pieces=st.lists(PIECE, max_size=12))
def test_no_spelling_of_a_path_leads_out(tmp_path_factory: pytest.TempPathFactory, pieces: list[str]) -> None:
    base = tmp_path_factory.getbasetemp() / "spelled"
    if not base.exists():
        (base / "root" / "d").mkdir(parents=True)
        (base / "outside").mkdir()
        for path in ("root/d/f", "root/f"):
            (base / path).write_text("public")
        for path in ("f", "outside/f"):
            (base / path).write_text("private")
        (base / "root" / "link").symlink_to("../outside")
    with contextlib.suppress(ResourceDenied, ResourceNotFound):
        assert Files([str(base / "root")], LIMIT).read("file://" + "".join(pieces)) == b"public"
