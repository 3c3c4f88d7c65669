"""mcpd-migrate before it changes a schema, and mcpctl rollback --upgrade up to where a machine with mcpd is needed."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mcpd.backup import upgrades
from mcpd.ctl.downgrade import packages
from mcpd.errors import SourceUnusable, UsageError
from mcpd.store import activities, schema
from mcpd.store.database import Database
from tests.functional.conftest import MakeDaemon
from tests.functional.test_mcpctl import at, environment, mcpctl
from tests.functional.test_migrate import KILLS
from tests.unit.legacy.conftest import dump

NEWEST = schema.migrations()[-1].version


@pytest.fixture
def options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The options for a database that the version before this one left, with one activity."""
    steps = schema.migrations()
    with monkeypatch.context() as patch:
        patch.setattr(schema, "migrations", lambda: steps[:-1])
        db = Database(str(tmp_path / "mcp.db"))
        schema.migrate(db, 1)
        activities.add(db, 1, "a", "old", "task", "completed", None)
        db.close()
    (tmp_path / "mcpd.toml").write_text(f'[database]\npath = "{tmp_path / "mcp.db"}"\n')
    return ["--config", str(tmp_path / "mcpd.toml")]


def migrate(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mcpd.daemons.migrate", *words]
    return subprocess.run(command, env=environment(), capture_output=True, text=True, check=False, timeout=60)


def test_before_the_schema_changes_there_is_a_snapshot(options: list[str], tmp_path: Path) -> None:
    before = schema.migrations()[-2].version
    done = migrate(*options)
    assert (done.returncode, "made and verified before schema" in done.stderr) == (0, True), done.stderr
    (made,) = upgrades.all_of(tmp_path / "mcp.db")
    assert (made.version, made.schema_version, made.rows["activities"]) == ("", before, 1)
    upgrades.verify(made)
    again = migrate(*options)
    assert (again.returncode, f"schema {NEWEST} is current" in again.stderr) == (0, True)
    assert upgrades.all_of(tmp_path / "mcp.db") == [made]


def test_the_packages_snapshot_is_enough(options: list[str], tmp_path: Path) -> None:
    done = migrate("--snapshot", "1.0-1", "1.1-1", *options)
    assert (done.returncode, "before the upgrade to 1.1-1" in done.stderr) == (0, True), done.stderr
    assert migrate(*options).returncode == 0
    (made,) = upgrades.all_of(tmp_path / "mcp.db")
    assert (made.version, made.before, made.schema_version) == ("1.0-1", "1.1-1", schema.migrations()[-2].version)


def test_who_wants_no_snapshots_gets_none(options: list[str], tmp_path: Path) -> None:
    config = Path(options[1])
    config.write_text(config.read_text() + "[backup]\nkeep_upgrades = 0\n")
    assert migrate("--snapshot", "1.0-1", "1.1-1", *options).returncode == 0
    assert migrate(*options).returncode == 0
    assert not (tmp_path / "upgrades").exists()


def test_a_damaged_database_is_neither_kept_nor_changed(options: list[str], tmp_path: Path) -> None:
    path = tmp_path / "mcp.db"
    path.write_bytes(path.read_bytes()[:-8192])
    before = path.read_bytes()
    done = migrate("--snapshot", "1.0-1", "1.1-1", *options)
    assert (done.returncode, str(tmp_path) in done.stderr, "Traceback" in done.stderr) == (65, True, False), done.stderr
    assert path.read_bytes() == before
    assert upgrades.all_of(path) == []
    assert migrate("--snapshot", "1.0-1", *options).returncode == 64


def test_killed_at_any_moment_there_are_only_whole_snapshots(options: list[str], tmp_path: Path) -> None:
    path = tmp_path / "mcp.db"
    db = Database(str(path))
    for number in range(20_000):
        activities.add(db, number, "a", f"activity {number} of many", "task", "completed", None)
    db.close()
    before, chance = dump(path), random.Random()
    command = [sys.executable, "-m", "mcpd.daemons.migrate", "--snapshot", "1.0-1", "1.1-1", *options]
    for _ in range(KILLS):
        process = subprocess.Popen(command, env=environment(), stderr=subprocess.DEVNULL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(chance.uniform(0.05, 0.5))
        process.kill()
        process.wait()
        for snapshot in upgrades.all_of(path):
            upgrades.verify(snapshot)
        assert dump(path) == before
    assert migrate("--snapshot", "1.0-1", "1.1-1", *options).returncode == 0
    newest, *others = upgrades.all_of(path)
    assert dump(newest.path) == before
    assert len(list((tmp_path / "upgrades").iterdir())) == 2 * (1 + len(others)) <= 6


def deb(directory: Path, name: str = "mcpd", version: str = "1.0-1") -> Path:
    """A real package with nothing in it."""
    if shutil.which("dpkg-deb") is None:
        pytest.skip("dpkg-deb is not installed")
    tree = directory / f"{name}-{version}"
    (tree / "DEBIAN").mkdir(parents=True)
    fields = {"Package": name, "Version": version, "Architecture": "all", "Maintainer": "x <x@localhost>"}
    control = "".join(f"{field}: {value}\n" for field, value in fields.items())
    (tree / "DEBIAN" / "control").write_text(f"{control}Description: x\n")
    path = directory / f"{name}_{version}_all.deb"
    command = ["dpkg-deb", "--root-owner-group", "--build", str(tree), str(path)]
    subprocess.run(command, check=True, capture_output=True)
    return path


def test_a_package_that_is_given_has_to_be_the_one(tmp_path: Path) -> None:
    good = deb(tmp_path)
    assert packages.find("1.0-1", good).path == good
    assert packages.version_of(good) == "1.0-1"
    with pytest.raises(SourceUnusable, match=r"is mcpd 1\.0-1; the snapshot is of 1\.1-1"):
        packages.find("1.1-1", good)
    with pytest.raises(SourceUnusable, match="is the package other; expected mcpd"):
        packages.find("1.0-1", deb(tmp_path, "other"))
    with pytest.raises(SourceUnusable, match="is not a Debian package"):
        packages.find("1.0-1", Path("/etc/passwd"))
    with pytest.raises(SourceUnusable, match="there is no such file"):
        packages.find("1.0-1", Path("/nowhere"))


def test_what_apt_kept_is_found_and_what_it_has_not_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("apt-get") is None:
        pytest.skip("apt-get is not installed")
    monkeypatch.setattr(packages, "_CACHE", tmp_path)
    with pytest.raises(UsageError, match=r"apt no longer has mcpd 1\.0-1, .* --package mcpd_1\.0-1_all\.deb"):
        packages.find("1.0-1", None)
    kept = deb(tmp_path)
    assert packages.find("1.0-1", None).path == kept


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--upgrade", "--forward"], "takes no --forward"),
        (["--upgrade", "--to", "x"], "takes no --forward, --to"),
        (["--plan"], "go with --upgrade"),
        (["--package", "x"], "go with --upgrade"),
    ],
)
def test_a_wrong_command_line_is_told_what_is_wrong(words: list[str], said: str, make_daemon: MakeDaemon) -> None:
    done = mcpctl("rollback", *words, *at(make_daemon()))
    assert (done.returncode, said in done.stderr) == (64, True), done.stderr


def test_without_a_package_there_is_nothing_to_take_back(make_daemon: MakeDaemon) -> None:
    done = mcpctl("rollback", "--upgrade", "--plan", *at(make_daemon()))
    if os.geteuid() == 0:
        # On a machine that has the package, what is missing is the snapshot.
        missing = [(code, word in done.stderr) for code, word in ((69, "mcpd"), (64, "no snapshot"))]
        assert (done.returncode, True) in missing, done.stderr
    else:
        assert (done.returncode, "only root may" in done.stderr) == (77, True)
