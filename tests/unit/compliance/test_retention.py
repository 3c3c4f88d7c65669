"""Retention: in batches, each with its record; stopped, it goes on next time."""

from __future__ import annotations

from mcpd.compliance import breaches, retention
from mcpd.compliance.breaches import Report
from mcpd.store.database import Database
from mcpd.store.retention import DAY_US

NOW_US = 2000 * DAY_US


def fill(db: Database, rows: int) -> None:
    for number in range(rows):
        db.execute(
            "INSERT INTO activities VALUES (?, ?, 'a', 'x', 'y', 'z', NULL)", (number + 1, NOW_US - 731 * DAY_US)
        )


def test_each_batch_is_a_transaction_with_its_record_and_event(db: Database) -> None:
    fill(db, 25)
    assert retention.count_due(db, NOW_US) == 25
    deleted = retention.enforce(db, NOW_US, caller="ada", batch=10)
    assert deleted["activities"] == 25
    details = db.rows("SELECT caller, resource FROM audit ORDER BY id")
    assert details == [("ada", "activities")] * 3 + [("ada", None)]
    assert [row[0] for row in db.rows("SELECT topic FROM events")] == ["retention.deleted"] * 3 + ["retention.enforced"]
    assert retention.enforced_at(db) is not None
    assert retention.count_due(db, NOW_US) == 0


def test_what_was_stopped_goes_on_next_time(db: Database) -> None:
    fill(db, 25)
    answers = iter([False, True])
    deleted = retention.enforce(db, NOW_US, batch=10, stopped=lambda: next(answers, True))
    assert deleted["activities"] in (0, 10)
    assert retention.enforced_at(db) is None
    assert deleted["activities"] + retention.enforce(db, NOW_US)["activities"] == 25


def test_a_dry_run_counts_and_leaves_all(db: Database) -> None:
    fill(db, 5)
    assert retention.enforce(db, NOW_US, dry_run=True)["activities"] == 5
    assert db.value("SELECT count(*) FROM activities") == 5
    assert db.value("SELECT count(*) FROM audit") == 0


def test_data_that_is_kept_for_ever_stays(db: Database) -> None:
    fill(db, 3)
    assert retention.set_days(db, NOW_US, "ada", "Activities", 0)
    assert "activities" not in retention.enforce(db, NOW_US)
    assert not retention.set_days(db, NOW_US, "ada", "nonsense", 1)


def test_a_breach_goes_by_the_day_on_which_it_was_closed(db: Database) -> None:
    report = Report("high", 3, ["mail"])
    made = [breaches.record(db, 1, "ada", report) for _ in range(2)]
    breaches.follow(db, 2, "ada", made[0].id, breaches.Progress(closed=True))
    assert retention.enforce(db, NOW_US)["breaches"] == 0
    assert retention.enforce(db, 2191 * DAY_US)["breaches"] == 1
    assert db.rows("SELECT id FROM breaches") == [(made[1].id,)]


def test_the_deadlines_are_those_of_the_laws(db: Database) -> None:
    breach = breaches.record(db, 0, "ada", Report("critical", 3, ["mail"]))
    hour_us = 3_600_000_000
    for now_us, overdue in ((72 * hour_us, [False, False]), (72 * hour_us + 1, [True, False])):
        assert [due["overdue"] for due in breaches.deadlines(breach, now_us)] == overdue
    assert breaches.count_overdue(db, 60 * DAY_US, "HIPAA") == 0
    assert breaches.count_overdue(db, 60 * DAY_US + 1, "HIPAA") == 1


def test_of_an_overdue_breach_is_told_once(db: Database) -> None:
    late = breaches.record(db, 0, "ada", Report("critical", 3, ["mail"]))
    breaches.record(db, 0, "ada", Report("low", 3, ["mail"]))
    assert breaches.remind(db, 3 * DAY_US) == 0
    assert [breaches.remind(db, 3 * DAY_US + 1) for _ in range(2)] == [1, 0]
    told = "SELECT json_extract(data, '$.id') FROM events WHERE topic = 'compliance.breach_overdue'"
    assert db.rows(told) == [(late.id,)]
    assert db.rows("SELECT resource FROM audit") == [(late.id,)]
