"""What the servers hold, asked by psql as the how-to asks."""

from __future__ import annotations

from tests.howto.hosts import Host, soon

TABLES = ("pgbench_branches", "pgbench_tellers", "pgbench_accounts")
HISTORY = "pgbench_history"

CHANGED = (
    "pgbench_branches",
    *(
        f"(select * from pgbench_{name}s where {name[0]}id in (select {name[0]}id from pgbench_history))"
        for name in ("teller", "account")
    ),
)
"""The rows of the last transactions, which the history names."""


def address(host: Host) -> str:
    """A host's address, as the how-to has it."""
    assert host.server
    return "10.11.12." + host.server.host.rpartition(".")[2]


def query(host: Host, number: int, text: str) -> str:
    """Ask a server."""
    return host(f'psql -h 10.11.12.{number} -p 5432 -d test1 -At -c "{text}"').rstrip("\n")


def count(host: Host, number: int, table: str) -> str:
    """How many rows a table has."""
    return query(host, number, f"select count(*) from {table}")


def history(host: Host, number: int) -> list[str]:
    """The rows of pgbench_history."""
    return query(host, number, f"select * from {HISTORY} order by mtime, tid, aid").splitlines()


def state(host: Host, number: int, table: str) -> str:
    """A digest of a table."""
    return query(host, number, f"select md5(string_agg(t::text, ';' order by t::text)) from {table} t")


def equal(host: Host, names: tuple[str, ...], *numbers: int) -> bool:
    """Whether tables are the same on servers."""
    return all(len({state(host, number, name) for number in numbers}) == 1 for name in names)


def settled(host: Host, one: int, other: int) -> None:
    """Wait until a copy that may still be under way is done: two equal histories, and idle syncs."""
    soon(
        lambda: history(host, one) == history(host, other) and host("bucardo_ctl status").count("|idle ") == 2,
        "nothing is on its way",
    )


def served(host: Host, sync: str, links: int) -> None:
    """Wait until each of a sync's links has answered for its latest kick: none of its copies is still to come."""
    latest = f"select max(id) from catalog.kick where sync = '{sync}'"
    answers = f"select count(*) from catalog.kick_result where kick = ({latest}) and error is null"
    soon(lambda: _catalog(host, answers) == str(links), f"the kick of {sync} is served on each link", 30)


def runs(host: Host, sync: str) -> int:
    """How many runs of a sync are in an install's history."""
    return int(_catalog(host, f"select count(*) from catalog.run where sync = '{sync}'"))


def _catalog(host: Host, text: str) -> str:
    return host(f'psql -d bucardo -Atc "{text}"').rstrip("\n")
