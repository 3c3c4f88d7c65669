"""Backups: what is kept, what an archive must be, and that putting one back loses nothing."""

from __future__ import annotations

import dataclasses
import io
import json
import shutil
import sqlite3
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpd import config
from mcpd.backup import age, archive, backups, nightly, proof, retention
from mcpd.backup.agents import State, States
from mcpd.backup.retention import Rules
from mcpd.config import Config
from mcpd.errors import ConfigError, Error, SourceUnusable, StoreUnavailable
from mcpd.store import events, schema
from mcpd.store.database import Database
from tests.unit.backup.conftest import add
from tests.unit.legacy.conftest import dump, dump_before

NEWEST = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)


def test_a_year_of_nightly_backups_leaves_the_last_days_weeks_and_months() -> None:
    found = retention.choose((NEWEST - timedelta(days=n) for n in range(365)), Rules())
    assert {at for at, why in found.kept.items() if "daily" in why} == {NEWEST - timedelta(days=n) for n in range(7)}
    assert sum("weekly" in why for why in found.kept.values()) == 4
    assert [at.month for at, why in found.kept.items() if "monthly" in why] == [11, 10, 9, 8, 7, 6]
    assert len(found.kept) + len(found.surplus) == 365


MOMENTS = st.sets(st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)), max_size=60)


@given(MOMENTS)
def test_the_newest_is_kept_and_pruning_again_removes_nothing(made: set[datetime]) -> None:
    found = retention.choose(made, Rules())
    assert found.kept.keys() | set(found.surplus) == made
    assert not made or max(made) in found.kept
    assert retention.choose(found.kept, Rules()).surplus == ()
    assert len(found.kept) <= 7 + 4 + 6


def test_a_backup_says_what_it_holds_and_is_whole(made: Path, database: Path) -> None:
    found = backups.verify(made)
    assert found.manifest == archive.peek(made).manifest
    assert found.manifest.rows["activities"] == 20
    assert found.manifest.schema_version == schema.migrations()[-1].version
    assert [file.name for file in found.manifest.files] == ["config/mcpd.toml", "mcp.db"]
    assert made.stat().st_mode & 0o777 == 0o640
    assert sorted(made.parent.iterdir()) == [made, proof.path_of(made)]
    assert backups.all_of(made.parent) == [made]


def test_what_is_restored_is_what_was_backed_up_and_what_was_there_is_kept(made: Path, database: Path) -> None:
    backed_up = dump(database)
    db = Database(str(database))
    add(db, 5)
    db.close()
    later = dump(database)
    done = backups.restore(made, database)
    assert done.replaced is not None
    assert (dump_before(database), dump(done.replaced)) == (backed_up, later)
    database.unlink()
    assert backups.restore(made, database).replaced is None
    assert dump_before(database) == backed_up


def test_a_database_in_use_is_not_replaced(made: Path, database: Path) -> None:
    db = Database(str(database))
    add(db, 1)
    before = dump(database)
    with pytest.raises(StoreUnavailable, match=r"is in use; systemctl stop mcp\.target"):
        backups.restore(made, database)
    assert dump(database) == before
    add(db, 1)
    db.close()
    assert sorted(path.name for path in database.parent.iterdir()) == ["mcp.db"]


def test_a_damaged_database_is_replaced_and_kept_with_its_log(made: Path, database: Path) -> None:
    database.write_bytes(b"rubbish" * 1000)
    Path(f"{database}-wal").write_bytes(b"its log")
    done = backups.restore(made, database)
    assert done.replaced is not None
    assert done.replaced.read_bytes() == b"rubbish" * 1000
    assert Path(f"{done.replaced}-wal").read_bytes() == b"its log"
    assert not Path(f"{database}-wal").exists()


def rewritten(path: Path, change: Callable[[str, bytes], tuple[str, bytes] | None]) -> Path:
    """Write the archive *path* anew, each member as *change* returns it."""
    to = path.with_name("changed.tar.gz")
    with tarfile.open(path) as old, tarfile.open(to, "w:gz") as new:
        for info in old:
            content = old.extractfile(info)
            assert content is not None
            member = change(info.name, content.read())
            if member is not None:
                changed = tarfile.TarInfo(member[0])
                changed.size = len(member[1])
                new.addfile(changed, io.BytesIO(member[1]))
    return to


def manifest(**changes: object) -> Callable[[str, bytes], tuple[str, bytes]]:
    def change(name: str, content: bytes) -> tuple[str, bytes]:
        return name, json.dumps(json.loads(content) | changes).encode() if name == "manifest.json" else content

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda name, content: (name, content.replace(b"activity 7", b"activity 8")), "the digest of mcp.db is not"),
        (lambda name, content: None if name == "mcp.db" else (name, content), "lacks mcp.db"),
        (lambda name, content: None if name == "manifest.json" else (name, content), "begin with a manifest"),
        (lambda name, content: (name.replace("config/", "../"), content), "which is not as its manifest says"),
        (lambda name, content: (name, content + b"x" * name.startswith("config")), "is not as its manifest says"),
        (manifest(rows={"activities": 21}), "not the rows or the schema"),
        (manifest(format=2), "is not one that this mcpd knows"),
        (manifest(schema_version=999), "not the rows or the schema"),
        (manifest(files=[{"name": "../../etc/passwd", "size_bytes": 1, "sha256": "0"}]), "is not one that this mcpd"),
    ],
)
def test_an_archive_that_is_not_as_it_says_is_refused_before_anything_is_touched(
    change: Callable[[str, bytes], tuple[str, bytes] | None], said: str, made: Path, database: Path
) -> None:
    before = dump(database)
    changed = rewritten(made, change)
    with pytest.raises(SourceUnusable, match=said):
        backups.restore(changed, database)
    with pytest.raises(SourceUnusable, match=said):
        backups.verify(changed)
    assert dump(database) == before
    assert [path.name for path in database.parent.iterdir() if "replaced" in path.name] == []


STATES = States([State("a", lines=2, above=1), State("b", unseen="it does not run")], {"a": "history\nscreen ü\n"})


def test_what_agents_were_at_is_read_without_the_database_behind_it(database: Path, tmp_path: Path) -> None:
    path = backups.make(database, {}, tmp_path / "backups", states=STATES).path
    found, contents = backups.look(path, names=["states/a.txt", "states/b.json", "states/none.txt"])
    assert found.manifest.agents == STATES.agents
    assert contents.keys() == {"states/a.txt", "states/b.json"}
    assert contents["states/a.txt"].decode() == STATES.texts["a"]
    assert json.loads(contents["states/b.json"])["unseen"] == "it does not run"
    assert backups.verify(path).manifest.agents == STATES.agents
    with tarfile.open(path) as tar:
        assert tar.getnames()[-1] == "mcp.db"
    changed = rewritten(path, lambda name, content: (name, content.replace(b"screen", b"scream")))
    with pytest.raises(SourceUnusable, match=r"damaged: states/a\.txt is not as its manifest says"):
        backups.look(changed, names=["states/a.txt"])
    with pytest.raises(SourceUnusable, match=r"the digest of states/a\.txt is not"):
        backups.verify(changed)


def test_an_archive_that_knows_nothing_of_agents_is_still_read(made: Path) -> None:
    def without(name: str, content: bytes) -> tuple[str, bytes]:
        if name != "manifest.json":
            return name, content
        return name, json.dumps({k: v for k, v in json.loads(content).items() if k != "agents"}).encode()

    assert backups.verify(rewritten(made, without)).manifest.agents == []


def test_an_archive_of_a_newer_schema_is_refused(made: Path, database: Path, tmp_path: Path) -> None:
    newer = tmp_path / "newer.db"
    shutil.copy(database, newer)
    db = sqlite3.connect(newer)
    db.execute("PRAGMA user_version = 999")
    db.close()
    path = backups.make(newer, {}, tmp_path / "newer").path
    before = dump(database)
    with pytest.raises(SourceUnusable, match="has schema 999, this mcpd knows up to"):
        backups.restore(path, database)
    assert dump(database) == before


@pytest.fixture(scope="module")
def archived(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    directory = tmp_path_factory.mktemp("archived")
    db = Database(str(directory / "mcp.db"))
    schema.migrate(db, 1)
    db.close()
    return backups.make(directory / "mcp.db", {}, directory).path.read_bytes()


@given(place=st.floats(0, 1, exclude_max=True), change=st.integers(0, 255))
def test_an_archive_with_a_byte_changed_or_cut_off_is_refused_or_the_same(
    archived: bytes, place: float, change: int
) -> None:
    content, at = bytearray(archived), int(place * len(archived))
    content[at] ^= change
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "changed.tar.gz"
        path.write_bytes(content if change else content[:at])
        try:
            rows = backups.verify(path).manifest.rows
        except Error as error:
            assert isinstance(error, SourceUnusable)
        else:  # a byte that means nothing, such as the time in gzip's head or the padding of tar's
            assert rows["prompts"] == 6


def test_pruning_removes_what_no_rule_keeps(tmp_path: Path, made: Path) -> None:
    directory = made.parent
    for days in range(1, 40):
        shutil.copy(made, directory / archive.file_name(NEWEST - timedelta(days=days)))
    broken = directory / archive.file_name(NEWEST - timedelta(days=1) + timedelta(hours=1))
    broken.write_bytes(b"broken")
    (directory / "mcp_backup_mine.tar.gz").write_bytes(b"")
    would = backups.prune(directory, Rules(), dry_run=True)
    assert all(path.exists() for path in would.removed)
    assert len(list(directory.glob("*.sha256"))) == 1
    done = backups.prune(directory, Rules(), dry_run=False)
    assert (done, bool(done.removed), list(done.unusable)) == (would, True, [broken])
    assert not any(path.exists() for path in done.removed)
    assert made.exists()
    assert broken.exists()
    assert (directory / archive.file_name(NEWEST - timedelta(days=1))).exists()
    assert (directory / "mcp_backup_mine.tar.gz").exists()
    assert {proof.path_of(path) for path in backups.all_of(directory) if path != broken} == set(
        directory.glob("*.sha256")
    )
    assert backups.prune(directory, Rules(), dry_run=False).removed == []


def flipped(path: Path) -> None:
    """Change a bit near the end of *path*."""
    content = bytearray(path.read_bytes())
    content[-3000] ^= 1
    path.write_bytes(content)


def shortened(path: Path) -> None:
    """Cut the end of *path* off."""
    path.write_bytes(path.read_bytes()[:-6000])


@pytest.mark.parametrize("damage", [flipped, shortened])
@pytest.mark.parametrize("proved", [True, False])
def test_a_damaged_backup_takes_no_others_place(made: Path, damage: Callable[[Path], None], *, proved: bool) -> None:
    directory = made.parent
    good, damaged = (directory / archive.file_name(NEWEST + timedelta(hours=hours)) for hours in (1, 2))
    for path in (good, damaged):
        shutil.copy(made, path)
        if proved:
            proof.write(path, path)
    made.unlink()
    damage(damaged)
    done = backups.prune(directory, Rules(1, 0, 0), dry_run=False)
    assert (list(done.removed), list(done.unusable)) == ([], [damaged])
    assert "is damaged" in done.unusable[damaged]
    assert (good.exists(), damaged.exists()) == (True, True)
    assert proof.of(made) is None, "the proof of what is gone is gone"
    shutil.copy(good, damaged)
    proof.path_of(damaged).unlink(missing_ok=True)
    assert list(backups.prune(directory, Rules(1, 0, 0), dry_run=False).removed) == [good]
    assert sorted(directory.iterdir()) == [damaged, proof.path_of(damaged)]


STATES_OF = st.sampled_from(["good", "damaged", "unproved"])


@given(st.dictionaries(st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC)), STATES_OF))
def test_pruning_keeps_of_what_can_be_proved_as_much_as_if_there_were_nothing_else(made: dict[datetime, str]) -> None:
    state_at = {at.replace(microsecond=0): state for at, state in made.items()}
    good = retention.choose({at for at, state in state_at.items() if state == "good"}, Rules()).kept
    with tempfile.TemporaryDirectory() as name:
        paths = {at: Path(name) / archive.file_name(at, encrypted=True) for at in state_at}
        for at, path in paths.items():
            path.write_bytes(b"age-encryption.org/v1\n")
            if state_at[at] != "unproved":
                proof.write(path, path)
            if state_at[at] == "damaged":
                path.write_bytes(b"age-encryption.org/v2\n")
        done = backups.prune(Path(name), Rules(), dry_run=False)
        left = {at for at, path in paths.items() if path.exists()}
        assert {paths[at] for at in state_at.keys() - left} == set(done.removed)
        assert {at for at in left if state_at[at] == "good"} == good.keys()
        if not good:
            assert left == state_at.keys()
        assert backups.prune(Path(name), Rules(), dry_run=False).removed == []


def test_a_backup_without_a_proof_has_one_when_it_was_verified(made: Path, tmp_path: Path) -> None:
    found = proof.of(made)
    assert found is not None
    assert (found.size_bytes, len(found.sha256)) == (made.stat().st_size, 64)
    checked = subprocess.run(["sha256sum", "--check", proof.path_of(made).name], cwd=made.parent, check=False)
    assert checked.returncode == 0
    proof.path_of(made).write_text("rubbish")
    assert proof.of(made) is None
    backups.verify(made)
    again = proof.of(made)
    assert again is not None
    assert again.sha256 == found.sha256
    other = tmp_path / "mine.tar.gz"
    shutil.copy(made, other)
    backups.verify(other)
    assert proof.of(other) is None, "nothing is written beside what is not one of ours"


def test_what_a_killed_backup_left_is_removed(made: Path, database: Path) -> None:
    left = made.parent / ".mcpd-backup-dead"
    left.mkdir()
    made.rename(made.with_name("mcp_backup_20200101T000000Z.tar.gz"))
    backups.make(database, {}, made.parent)
    assert not left.exists()


def test_without_a_database_there_is_no_backup(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no database to back up"):
        backups.make(tmp_path / "none.db", {}, tmp_path / "backups")


RECORDING = "recordings/testing.0000000000000001.cast"


def settings(database: Path, directory: Path, **keys: object) -> Config:
    """A configuration that backs *database* up into *directory*."""
    return Config(database=config.Database(path=str(database)), backup=config.Backup(str(directory), **keys))  # type: ignore[arg-type]


def told(database: Path) -> list[tuple[str, dict[str, object]]]:
    db = Database(str(database), read_only=True)
    try:
        return [(topic, json.loads(data)) for _, _, topic, _, data in events.since(db, 0, 100)]
    finally:
        db.close()


def test_two_backups_in_a_second_are_two(database: Path, tmp_path: Path) -> None:
    first, second = (backups.make(database, {}, tmp_path / "backups") for _ in range(2))
    assert backups.all_of(tmp_path / "backups") == [second.path, first.path]


def test_the_nightly_backup_prunes_and_tells_of_itself(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The machine's own settings and agents are none of this test's.
    monkeypatch.setattr(config, "ENVIRONMENT_FILE", tmp_path / "none")
    monkeypatch.setattr(nightly, "states", lambda _settings: States())
    directory, recording = tmp_path / "backups", database.parent / RECORDING
    recording.parent.mkdir()
    recording.write_text("{}")
    wanted = settings(database, directory, keep_days=1, keep_weeks=0, keep_months=0, recordings=True)
    first = nightly.run(wanted, []).backup
    older = first.path.with_name(archive.file_name(NEWEST - timedelta(days=300)))
    first.path.rename(older)
    done = nightly.run(wanted, [])
    assert [file.name for file in done.backup.manifest.files] == ["mcp.db", RECORDING]
    assert (done.pruned.removed, backups.all_of(directory)) == ([older], [done.backup.path])
    topic, data = told(database)[-1]
    assert (topic, data["path"], data["removed"]) == ("backup.finished", str(done.backup.path), [str(older)])


def test_everything_that_an_administrator_wrote_is_in_a_backup(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    etc = tmp_path / "etc"
    written = ["default", "mcpd.toml", "tmux.conf", "agents.d/docs.toml", "tools.d/_my tool é.py"]
    for name in written:
        (etc / name).parent.mkdir(parents=True, exist_ok=True)
        (etc / name).write_text(f"# {name}\n")
    (etc / "agents.d" / "master.toml").symlink_to("/dev/null")  # one that is taken away
    monkeypatch.setattr(config, "ADMIN_FILE", etc / "mcpd.toml")
    monkeypatch.setattr(config, "ENVIRONMENT_FILE", etc / "default")
    wanted = config.build(config.resolve([], []))
    wanted = dataclasses.replace(wanted, tools=config.Tools(plugins=str(etc / "tools.d")))
    made = backups.make(database, nightly.contents(wanted, [etc / "mcpd.toml"]), tmp_path / "backups")
    assert [file.name for file in backups.verify(made.path).manifest.files] == [
        "config/mcpd.toml", "config/default", "config/tmux.conf", "agents/docs.toml", "tools/_my tool é.py", "mcp.db",
    ]  # fmt: skip


def test_a_backup_that_fails_is_an_event_and_prunes_nothing(database: Path, made: Path, tmp_path: Path) -> None:
    older = made.with_name(archive.file_name(NEWEST - timedelta(days=3000)))
    shutil.copy(made, older)
    with pytest.raises(ConfigError, match="expected an age recipient, got 'nobody'"):
        nightly.run(settings(database, made.parent, recipient="nobody"), [])
    topic, data = told(database)[-1]
    assert (topic, "nobody" in str(data["error"])) == ("backup.failed", True)
    assert older.exists()
    absent = settings(tmp_path / "none.db", made.parent)
    with pytest.raises(ConfigError, match="there is no database"):
        nightly.run(absent, [])
    assert not (tmp_path / "none.db").exists()


def test_a_backup_was_made_even_where_older_ones_cannot_be_removed(
    database: Path, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config, "ENVIRONMENT_FILE", made.parent / "none")
    monkeypatch.setattr(nightly, "states", lambda _settings: States())
    unremovable = made.with_name(archive.file_name(NEWEST - timedelta(days=3000)))
    unremovable.mkdir()
    with pytest.raises(StoreUnavailable, match=f"{unremovable}: Is a directory"):
        nightly.run(settings(database, made.parent, keep_days=1, keep_weeks=0, keep_months=0), [])
    topic, data = told(database)[-1]
    assert (topic, data["path"]) == ("backup.finished", str(backups.all_of(made.parent)[0]))
    assert [topic for topic, _ in told(database)].count("backup.failed") == 0


def test_an_alert_names_the_newest_backup_and_tells_of_a_run_that_could_not(database: Path, made: Path) -> None:
    wanted = settings(database, made.parent)
    nightly.alert(wanted, "exit-code", "75")
    message = f"mcpd-backup failed: exit-code (75); the newest backup is {made}"
    assert told(database) == [("alert.raised", {"source": "backup", "message": message})]
    made.unlink()
    nightly.alert(wanted, "timeout", "TERM")
    failed, alert = told(database)[1:]
    assert failed == ("backup.failed", {"directory": str(made.parent), "error": "it was ended: timeout (TERM)"})
    message = "mcpd-backup failed: timeout (TERM); the newest backup is none"
    assert alert == ("alert.raised", {"source": "backup", "message": message})
    nightly.alert(settings(database, database), "exit-code", "77")
    assert "the newest backup is not to be found: " in str(told(database)[-1][1]["message"])


def test_without_age_it_is_said_what_is_missing(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="age is not installed: apt install age"):
        backups.make(database, {}, tmp_path / "backups", recipient="age1x")


@pytest.fixture
def identity(tmp_path: Path) -> Path:
    """A file with a key of age's."""
    if shutil.which("age-keygen") is None:
        pytest.skip("age is not installed")
    path = tmp_path / "key"
    subprocess.run(["age-keygen", "-o", path], capture_output=True, check=True)
    return path


def test_an_encrypted_backup_can_be_read_with_the_key_only(database: Path, identity: Path, tmp_path: Path) -> None:
    recipient = subprocess.run(
        ["age-keygen", "-y", identity], capture_output=True, text=True, check=True
    ).stdout.strip()
    made = backups.make(database, {}, tmp_path / "backups", recipient=recipient)
    assert made.path.name.endswith(".tar.gz.age")
    assert backups.all_of(made.path.parent) == [made.path]
    assert b"SQLite" not in made.path.read_bytes()
    assert backups.verify(made.path, identity).manifest == made.manifest
    with pytest.raises(SourceUnusable, match="is encrypted; --identity"):
        backups.verify(made.path)
    other = tmp_path / "other"
    subprocess.run(["age-keygen", "-o", other], capture_output=True, check=True)
    with pytest.raises(SourceUnusable, match="cannot be decrypted with"):
        backups.restore(made.path, database, other)
    before = dump(database)
    assert backups.restore(made.path, database, identity).backup.path == made.path
    assert dump_before(database) == before
    assert backups.prune(made.path.parent, Rules(0, 0, 0), dry_run=False).removed == []
    damaged = made.path.read_bytes()
    made.path.write_bytes(damaged[:-20])
    with pytest.raises(SourceUnusable, match="is damaged: has"):
        backups.verify(made.path, identity)
    proof.path_of(made.path).unlink()
    with pytest.raises(SourceUnusable, match="cannot be decrypted"):
        backups.verify(made.path, identity)
    made.path.write_bytes(b"x")
    with pytest.raises(SourceUnusable, match="age did not write it"):
        backups.verify(made.path, identity)
    assert not age.is_encrypted(tmp_path / "missing")
