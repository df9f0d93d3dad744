"""Waiting until the databases of a lab agree; if they do not, the failure shows what the replicator says of itself."""

from __future__ import annotations

from tests.fixtures.wait import until
from tests.lab.hosts import Machine

STATEMENTS = (
    "select pid, application_name, state, wait_event_type, wait_event, query_start, left(query, 100)"
    " from pg_stat_activity where datname is not null",
    "select * from pg_locks where not granted",
)
ACCOUNTS = (
    "export COLUMNS=200; replicator status; replicator parked list",
    "export COLUMNS=200; for sync in benchdeltaalpha benchcopybeta benchswapgamma; do replicator status $sync; done",
    "tail -n 100 /var/log/pgherd/replicator.log",
    *(f"runuser -u postgres -- psql -c '{statement}'" for statement in STATEMENTS),
)


def await_agreement(master: Machine, seconds: float = 90) -> None:
    """Wait until `replicator verify`, on the replicator's host, finds all databases equal."""

    def agree() -> bool:
        found = master.attempt("replicator verify")
        assert found.code == 0, found.out + found.err
        return True

    try:
        until(agree, seconds, "the databases agree")
    except AssertionError as error:
        for command in ACCOUNTS:
            error.add_note(master.attempt(command).out)
        raise
