"""Driver errors become the replicator's at one border: each SQLSTATE its class, and so its policy."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from replicator import errors
from replicator.postgres import patiently, release, translate, translated


def error(state: str, text: str = "it went wrong") -> psycopg.Error:
    return psycopg.errors.lookup(state)(text)


@pytest.mark.parametrize(
    ("state", "kind", "policy"),
    [
        ("08006", errors.ConnectionLost, "retry"),
        ("57P01", errors.ConnectionLost, "retry"),  # terminated by the administrator
        ("57P02", errors.ConnectionLost, "retry"),  # crash of another backend
        ("57P03", errors.ConnectionLost, "retry"),  # starting up
        ("55P03", errors.LockedOut, "retry"),
        ("40P01", errors.LockedOut, "retry"),
        ("40001", errors.Transient, "retry"),
        ("53100", errors.ServerFull, "retry"),  # disk full
        ("53300", errors.ServerFull, "retry"),  # too many connections
        ("23505", errors.RowRejected, "park"),
        ("23514", errors.RowRejected, "park"),
        ("22001", errors.RowRejected, "park"),
        ("42P01", errors.ServerError, "wait"),
        ("42501", errors.ServerError, "wait"),
        ("57014", errors.ServerError, "wait"),  # cancelled by a user: not a broken connection
    ],
)
def test_each_sqlstate_has_a_class_and_so_a_policy(state: str, kind: type[errors.ReplicatorError], policy: str) -> None:
    found = translate(error(state), "slave")
    assert type(found) is kind
    assert found.policy == policy
    assert str(found).startswith("slave: ")
    assert "it went wrong" in str(found)


def test_an_error_without_sqlstate_is_a_broken_connection() -> None:
    found = translate(psycopg.OperationalError("consuming input failed: server closed the connection"), "slave")
    assert type(found) is errors.ConnectionLost


def test_a_mistake_of_our_own_is_not_taken_for_a_broken_connection() -> None:
    found = translate(psycopg.ProgrammingError("the query has 2 placeholders but 1 parameters were passed"), "slave")
    assert type(found) is errors.ServerError


def test_messages_are_one_line() -> None:
    found = translate(psycopg.OperationalError("first\n\tsecond.\n"), "slave")
    assert "\n" not in str(found)


def test_the_drivers_error_stays_as_the_cause() -> None:
    cause = error("23505")
    with pytest.raises(errors.RowRejected) as raised, translated("public.accounts"):
        raise cause
    assert raised.value.__cause__ is cause


def test_other_errors_pass_the_border_as_they_are() -> None:
    with pytest.raises(KeyError), translated("public.accounts"):
        raise KeyError("x")


def test_patience_ends_and_returns_the_last_failure() -> None:
    attempts: list[int] = []

    def locked_out() -> None:
        attempts.append(1)
        raise errors.LockedOut

    with pytest.raises(errors.LockedOut):
        patiently(locked_out, attempts=3, pause=0.001)
    assert len(attempts) == 3


def test_patience_returns_what_the_work_does() -> None:
    outcomes: Iterator[int | Exception] = iter([errors.LockedOut(), 7])

    def work() -> int:
        outcome = next(outcomes)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    assert patiently(work, pause=0.001) == 7


def test_patience_is_for_locks_only() -> None:
    attempts: list[int] = []

    def rejected() -> None:
        attempts.append(1)
        raise errors.RowRejected

    with pytest.raises(errors.RowRejected):
        patiently(rejected, pause=0.001)
    assert len(attempts) == 1


@pytest.mark.parametrize(
    ("number", "said"), [(160014, "16.14"), (100000, "10.0"), (90624, "9.6.24"), (80420, "8.4.20")]
)
def test_versions_are_said_as_people_say_them(number: int, said: str) -> None:
    assert release(number) == said
