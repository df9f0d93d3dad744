"""What the how-to's commands print, where it takes more than a line to say; and the script that it gives cron."""

from __future__ import annotations

from tests.howto.reading import TABLES

START = ("Checking for existing processes", "Removing /var/run/bucardo/fullstopbucardo", "Starting Bucardo")
EMPTY = "There are no entries in the '{}' table."
REMOVED = 'Removed <any> "{}"'
NOTE = "Note: <any>table triggers<any>"

NOTHING = {"code": "db", "db": "db", "dbgroup": "dbgroup", "table": "goat", "sequence": "goat", "herd": "herd"}
NOTHING |= {"sync": "sync", "customcode": "db"}

COPY_LINES = ("Custom select:         no", "Post-copy analyze:     yes", "Delete method:         delete")

DAILY_PURGE = """\
DELETE FROM q WHERE (started < now() + '1 day ago'::interval OR ended < now() + '1 day ago'::interval
OR aborted < now() + '1 day ago'::interval OR cdate < now() + '1 day ago'::interval)
AND (ended IS NULL OR aborted IS NULL);
"""

PURGE_SCRIPT = """\
#!/bin/bash
echo =======BEGIN DAILY PURGE ========>> bucardo-purge
date >> bucardo-purge
echo ========>> bucardo-purge
PGPASSWORD=`grep dbpass $(which bucardo_ctl) | awk -F '=' '{print $2;}'`
export PGPASSWORD
psql -U bucardo -d bucardo < bucardo_daily_purge.sql >> bucardo-purge 2>&1
DROP_OLD_CHILD_Q="DROP TABLE freezer.child_q_"
DROP_OLD_CHILD_Q+=`/bin/date --date 'last Sunday' "+%Y%m%d"`
DROP_OLD_CHILD_Q+=';'
echo $DROP_OLD_CHILD_Q | psql -U bucardo -d bucardo >> bucardo-purge 2>&1
echo ========END DAILY PURGE =========>> bucardo-purge
"""
"""The how-to's script; only its files and programs lie elsewhere."""


def started(printed: str) -> None:
    """What `start` prints; the second line comes twice when a pid file was there too, and then names it here."""
    lines = printed.splitlines()
    assert (lines[0], lines[1], lines[-1]) == START, printed
    assert lines[2:-1] in ([], [START[1]], ["Removing /var/run/bucardo/bucardo.mcp.pid"]), printed


def herds(printed: str, delta: str, copy: str, *, wide: bool = True) -> None:
    """What `list herds` prints; the members of alpha in the order in which this pgbench creates them."""
    lines = printed.splitlines()
    beta = f"Herd: beta{' ' if wide else ''}"
    assert lines[1:] == [
        f"  Used in syncs: {delta}",
        f"{beta}  DB: test1_master  Members: public.pgbench_history",
        f"  Used in syncs: {copy}",
    ], printed
    head, _, members = lines[0].partition("  Members: ")
    assert head == "Herd: alpha  DB: test1_master"
    assert sorted(members.split(", ")) == sorted(f"public.{name}" for name in TABLES)


def tables(db: str) -> list[str]:
    """What `list tables` prints."""
    keys = {"accounts": "aid (int4)", "branches": "bid (int4)", "history": "none", "tellers": "tid (int4)"}
    return [f"Table: {f'public.pgbench_{name}':<23}  DB: {db}  PK: {key}" for name, key in keys.items()]


def detail(name: str, kind: str, herd: str, number: int, counts: str, more: tuple[str, ...]) -> list[str]:
    """What `status SYNC` prints."""
    return [
        "Days back: 3  User: bucardo  Database: bucardo  PID of Bucardo MCP: <pid>",
        "=" * 70,
        f"Sync name:             {name}",
        "Current state:         idle (PID = <pid>)",
        f"Type:                  {kind}",
        f"Source herd/database:  {herd} / test1_master",
        "Target database:       test1_slave",
        f"Tables in sync:        {number}",
        "Last good:             <spaced> (time to run: <ago>)",
        "Last good time:        <any>  Target: test1_slave",
        f"Ins/Upd/Del:           {counts}",
        "Last bad:              unknown",
        f"PID file:              /var/run/bucardo/bucardo.ctl.sync.{name}.pid",
        "PID file created:      <any>",
        "Status:                active",
        "Limitdbs:              0",
        "Priority:              0",
        "Checktime:             none",
        "Overdue time:          00:00:00",
        "Expired time:          00:00:00",
        "Stayalive:             yes      Kidsalive:     yes",
        "Rebuild index:         0        Do_listen:     no",
        "Ping:                  yes      Makedelta:     no",
        "Onetimecopy:           0",
        *more,
    ]
