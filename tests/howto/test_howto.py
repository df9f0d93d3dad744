"""The how-to's 56 steps in order: each command as typed, each output as printed, each effect in the databases.

What the how-to does to the machines themselves is what `provision` does for its users, and is shown by its own tests:

    host names, /etc/hosts, yum update, agent snmp (P1, P8)       provision.tasks.base
    rpmforge, epel, rpm --import, includepkgs (P2)                provision.tasks.repositories
    yum install postgresql-server, -contrib, -plperl (P3)         provision.tasks.postgresql
    Bucardo-4.5.tar.gz, make install (P4)                         this package: bucardo_ctl is on the path
    pg_hba.conf, listen_addresses, pg_ctl start (P5, P6)          provision.tasks.postgresql; here `hosts`
    superuser bucardo on the slave (P7)                           provision.tasks.roles; here `_prepare`
    ntp on all three (P8)                                         provision.tasks.ntp
    cron and purge script (P9)                                    the timer pgherd-purge; the script itself: step 56
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fixtures.servers import Server
from tests.howto.expected import (
    COPY_LINES,
    DAILY_PURGE,
    EMPTY,
    NOTE,
    NOTHING,
    PURGE_SCRIPT,
    REMOVED,
    detail,
    herds,
    started,
    tables,
)
from tests.howto.hosts import Cluster, build, same, soon, unchanged_for
from tests.howto.reading import (
    CHANGED,
    HISTORY,
    TABLES,
    address,
    count,
    equal,
    history,
    query,
    runs,
    served,
    settled,
    state,
)


@pytest.fixture
def cluster(tmp_path: Path, private_server: Callable[..., Server]) -> Iterator[Cluster]:
    """The three machines, and a fourth."""
    made = build(tmp_path, private_server)
    yield made
    made.close()


@pytest.mark.timeout(600)
def test_the_howto(cluster: Cluster) -> None:
    _prepare(cluster)
    _install_and_declare(cluster)
    _start_and_follow(cluster)
    _copy_whole(cluster)
    _look(cluster)
    _second_master(cluster)
    _history_of_both(cluster)
    _rename(cluster)
    _second_copy(cluster)
    _housekeep(cluster)


def _prepare(c: Cluster) -> None:
    """P6 and P7: the servers answer without a password, and the slave has the role."""
    for host in (c.master, c.slave, c.master2):
        assert "(1 row)" in c.master(f"psql -h {address(host)} -p 5432 -U postgres -c 'select 1'")
    c.slave("psql -U postgres -qc 'create role bucardo superuser inherit nocreatedb nocreaterole login'")
    c.slave("psql -U postgres -qc 'alter role bucardo set search_path = bucardo'")
    # /var/run/bucardo belongs to the whole machine, and there are two masters on this one.
    for host in (c.master, c.master2):
        (host.folder / ".bucardorc").write_text(f"# of this host\npiddir = {host.piddir}\n")


def _install_and_declare(c: Cluster) -> None:
    m = c.master
    printed = m("bucardo_ctl install", stdin="P\n")  # 1
    assert printed.startswith("This installs") and "\nInstallation is now complete.\n" in printed
    for text in ("Current connection settings:", "1. Host:", "5. PID directory:", "Enter a number to change it, P to"):
        assert text in printed
    shown = m("bucardo_ctl show all").splitlines()  # 2
    assert len(shown) == 40 and shown == sorted(shown) and "autosync_ddl              = newcol" in shown
    same(m("bucardo_ctl set default_email_to=admin@localhost"), 'Set "default_email_to" to "admin@localhost"')
    same(m("bucardo_ctl set default_email_to=nobody@example.com"), 'Set "default_email_to" to "nobody@example.com"')
    for number in (241, 242):  # 3, 4
        m(f"createdb -h 10.11.12.{number} -p 5432 -U postgres test1")
        m(f"pgbench -h 10.11.12.{number} -p 5432 -U postgres -i test1")
        counts = [count(m, number, table) for table in (*TABLES, HISTORY)]
        assert counts == ["1", "10", "100000", "0"]
    for name, number in (("test1_master", 241), ("test1_slave", 242)):  # 5, 6
        printed = m(f"bucardo_ctl add database test1 name={name} port=5432 host=10.11.12.{number}")
        same(printed, f'Added database "{name}"')
    printed = m("bucardo_ctl add all tables db=test1_master -T pgbench_history --herd=alpha -verbose")  # 7
    names = [f"  public.{name}" for name in sorted(TABLES)]
    same(printed, "Creating herd: alpha", "New tables:", *names, "New tables added: 3", "Already added: 0")
    printed = m("bucardo_ctl add all tables db=test1_master -t pgbench_history --herd=beta --verbose")  # 8
    one = "  public.pgbench_history"
    same(printed, "Creating herd: beta", "New tables:", one, "New tables added: 1", "Already added: 0")
    for name, herd, kind in (("benchdelta", "alpha", "pushdelta"), ("benchcopy", "beta", "fullcopy")):  # 9, 10
        printed = m(f"bucardo_ctl add sync {name} source={herd} targetdb=test1_slave type={kind}")
        same(printed, f'Added sync "{name}"')
    herds(m("bucardo_ctl list herds"), "benchdelta", "benchcopy")  # 11
    same(  # 12
        m("bucardo_ctl list syncs"),
        "Sync: benchcopy   (fullcopy )  beta  =>  test1_slave  (Active)",
        "Sync: benchdelta  (pushdelta)  alpha =>  test1_slave  (Active)",
    )
    same(  # 13
        m("bucardo_ctl list dbs"),
        "Database: test1_master  Status: active  Conn: psql -p 5432 -U bucardo -d test1 -h 10.11.12.241",
        "Database: test1_slave   Status: active  Conn: psql -p 5432 -U bucardo -d test1 -h 10.11.12.242",
    )
    same(m("bucardo_ctl list tables"), *tables("test1_master"))  # 14


def _start_and_follow(c: Cluster) -> None:
    m = c.master
    started(m("bucardo_ctl start"))  # 15
    soon(lambda: len(m.processes()) == 3 and "benchdelta" in m.processes()[0], "master and two controllers")
    listed = m("ps -Afw | grep -i bucardo")  # 16
    for title in (
        "Bucardo Master Control Program v4.5.0. Active syncs: benchcopy, benchdelta",
        'Bucardo Controller. Sync "benchdelta" (pushdelta) for source "alpha"',
        'Bucardo Controller. Sync "benchcopy" (fullcopy) for source "beta"',
        'Bucardo Kid. Sync "benchdelta": (pushdelta) "test1_master" -> "test1_slave"',
        'Bucardo Kid. Sync "benchcopy": (fullcopy) "test1_master" -> "test1_slave"',
    ):
        soon(lambda title=title: title in "\n".join(m.processes()), title)
    assert "Bucardo Master Control Program" in listed
    backends = m("psql -Atc \"select distinct datname from pg_stat_activity where usename = 'bucardo' order by 1\"")
    assert backends == "bucardo\ntest1\n"
    assert (m.piddir / "bucardo.ctl.sync.benchcopy.pid").exists()
    assert (m.piddir / "bucardo.kid.sync.benchcopy.test1_slave.pid").exists()
    for number in (241, 242):  # 17, 18
        command = f"psql -h 10.11.12.{number} -p 5432 -d test1 -At -c"
        assert m(f"{command} 'select count(*) from pgbench_tellers;'") == "10\n"
        assert m(f"{command} 'select * from pgbench_tellers where tid=1;'") == "1|1|0|\n"
    update = "update pgbench_tellers set filler='modification' where tid=1;"  # 19
    assert m(f'psql -h 10.11.12.241 -p 5432 -U postgres -d test1 -c "{update}"') == "UPDATE 1\n"
    select = "psql -h 10.11.12.242 -p 5432 -d test1 -At -c 'select * from pgbench_tellers where tid=1;'"  # 20
    soon(lambda: m(select).split("|")[3].strip() == "modification", "the change is on the slave")
    assert [count(m, 241, HISTORY), count(m, 242, HISTORY)] == ["0", "0"]  # 21


def _copy_whole(c: Cluster) -> None:
    m, s = c.master, c.slave
    assert "processed: 3/3" in m("pgbench -h 10.11.12.241 -p 5432 -U postgres -c 1 -t 3 test1")  # 22
    soon(lambda: history(m, 241) == history(m, 242), "the history is copied by itself")  # 23
    assert len(history(m, 242)) == 3
    before = history(m, 241)
    s("pgbench -h 10.11.12.242 -p 5432 -U postgres -c 1 -t 3 test1")  # 24
    ours = history(m, 242)
    assert unchanged_for(lambda: str(history(m, 242)), 1.5) and history(m, 241) == before
    assert len(ours) == 3 and ours != before
    m("pgbench -h 10.11.12.241 -p 5432 -U postgres -c 1 -t 3 test1")  # 25
    soon(lambda: history(m, 241) == history(m, 242), "the history is copied again")
    assert history(m, 241) not in (before, ours)
    settled(m, 241, 242)
    before = history(m, 241)
    s("pgbench -h 10.11.12.242 -p 5432 -U postgres -c 1 -t 3 test1")  # 26
    assert history(m, 242) != before == history(m, 241)
    same(m("bucardo_ctl kick benchcopy"), "Kicked sync benchcopy")  # 27
    served(m, "benchcopy", 1)
    assert history(m, 242) == before  # 28


def _look(c: Cluster) -> None:
    m = c.master
    pid = (m.piddir / "bucardo.mcp.pid").read_text().strip()
    printed = soon(lambda: _all_idle(m("bucardo_ctl status")), "both syncs are idle").splitlines()  # 29
    assert printed[0] == f"Days back: 3  User: bucardo  Database: bucardo  PID of Bucardo MCP: {pid}"
    assert printed[1].split() == ["Name", "Type", "State", "PID", "Last_good", "Time", "I/U/D", "Last_bad", "Time"]
    assert re.fullmatch(r"=+(\+=+){8}", printed[2])
    cells = [[cell.strip() for cell in line.split("|")[:9]] for line in printed[3:]]
    assert [row[:3] for row in cells] == [["benchcopy", "F", "idle"], ["benchdelta", "P", "idle"]]
    for row, counts in zip(cells, (r"3/0/3", r"\d+/\d+/\d+"), strict=True):
        assert row[3].isdigit() and re.fullmatch(r"(\d+m)?\d+s", row[4]) and re.fullmatch(counts, row[6]), row
        assert row[7:] == ["unknown", ""]
    same(m("bucardo_ctl status benchcopy"), *detail("benchcopy", "fullcopy", "beta", 1, "3 / 0 / 3", COPY_LINES))  # 30
    same(m("bucardo_ctl status benchdelta"), *detail("benchdelta", "pushdelta", "alpha", 3, "<Counts>", ()))  # 31
    same(
        m("bucardo_ctl add dbgroup test1 test1_slave"),
        'Added database "test1_slave" to group "test1"',
        'Added database group "test1"',
    )
    same(m("bucardo_ctl list dbgroups"), "Database group: test1  Members: test1_slave")  # 32
    same(m("bucardo_ctl list sequences", code=1), EMPTY.format("goat"))  # 33
    herds(  # 34
        m("bucardo_ctl list herd alpha --verbose") + m("bucardo_ctl list herd beta --verbose"),
        "benchdelta",
        "benchcopy",
        wide=False,
    )


def _all_idle(printed: str) -> str:
    """What `status` prints, once both syncs are idle; else nothing."""
    return printed if printed.count("|idle ") == 2 else ""


def _second_master(c: Cluster) -> None:
    m, m2 = c.master, c.master2
    assert "Installation is now complete." in m2("bucardo_ctl install", stdin="P\n")  # 35
    values = {
        "default_email_from": "master-2@postgresql-centos-master-2.exponentielhippy.fr",
        "default_email_host": "10.11.12.251",
        "default_email_to": "admin@zimbra.exponentielhippy.fr",
    }
    printed = m2(f"bucardo_ctl set {' '.join(f'{name}={value}' for name, value in values.items())}")
    same(printed, *(f'Set "{name}" to "{value}"' for name, value in values.items()))
    shown = dict(re.split(r" += ?", line, maxsplit=1) for line in m2("bucardo_ctl show all").splitlines())
    assert len(shown) == 40 and shown.items() >= values.items()
    assert (shown["autosync_ddl"], shown["bucardo_version"], shown["piddir"]) == ("newcol", "4.5.0", "/var/run/bucardo")
    m2("bucardo_ctl set default_email_to=nobody@example.com")  # no mail server at 10.11.12.251
    usage = m2("bucardo_ctl list", code=1).splitlines()  # 36
    assert usage[0] == "Usage: list <type> [options]"
    assert usage[2] == "The type is one of: code, db, dbgroup, table, sequence, herd, sync, customcode"
    for noun, table in NOTHING.items():  # 37
        same(m2(f"bucardo_ctl list {noun}", code=1), EMPTY.format(table))
    _clone(c)
    command = "bucardo_ctl add database test1 name=test1_master2 host=10.11.12.243 port=5432"  # 38
    same(m2(command), 'Added database "test1_master2"')
    command = "bucardo_ctl add database test1 name=test1_master host=10.11.12.241 port=5432"
    same(m2(command), 'Added database "test1_master"')
    same(
        m2("bucardo_ctl list db"),
        "Database: test1_master   Status: active  Conn: psql -p 5432 -U bucardo -d test1 -h 10.11.12.241",
        "Database: test1_master2  Status: active  Conn: psql -p 5432 -U bucardo -d test1 -h 10.11.12.243",
    )
    printed = m2(  # 39
        "bucardo_ctl add all table -T pgbench_history db=test1_master2 standard_conflict=source herd=gamma --verbose"
    )
    names = [f"  public.{name}" for name in sorted(TABLES)]
    same(printed, "Creating herd: gamma", "New tables:", *names, "New tables added: 3", "Already added: 0")
    conflict = "select distinct standard_conflict from goat"
    assert m2(f'psql -d bucardo -U bucardo -Atc "{conflict}"') == "source\n", "4.5 forgot it"
    assert m2("psql -d bucardo -U bucardo -c \"update goat set standard_conflict='target'\"") == "UPDATE 3\n"  # 40
    printed = m2("bucardo_ctl add sync benchswap source=gamma targetdb=test1_master type=swap")  # 41
    same(printed, 'Added sync "benchswap"')
    assert m2(f'psql -d bucardo -U bucardo -Atc "{conflict}"') == "target\n"
    started(m2("bucardo_ctl start"))
    soon(lambda: "|idle " in m2("bucardo_ctl status"), "the swap runs")
    assert m.processes(), "the first master's install goes on beside it"
    installs = query(m, 241, "select count(*) from pg_namespace where nspname like 'pgherd_bucardo_%'")
    assert installs == "2", "each install has its own logs and triggers in the same database"


def _clone(c: Cluster) -> None:
    """The second master is a clone of the first: it has its database, without what the replicator put there."""
    c.master2("createdb -U postgres test1")
    c.master2("pgbench -U postgres -i -q test1")
    for table in (*TABLES, HISTORY):
        copy = f"psql -h {address(c.master)} -qc 'copy {table} to stdout' test1"
        c.master2(f"psql -qc 'truncate {table}' test1; {copy} | psql -qc 'copy {table} from stdin' test1")


def _history_of_both(c: Cluster) -> None:
    m, x = c.master, c.other
    same(m("bucardo_ctl stop"), "Creating /var/run/bucardo/fullstopbucardo ... Done")  # 42
    assert not m.processes()
    printed = m("bucardo_ctl add db test1 name=test1_master2 host=10.11.12.243 user=bucardo port=5432")  # 43
    same(printed, 'Added database "test1_master2"')
    same(  # 44
        m("bucardo_ctl add dbgroup test1_history test1_slave test1_master2"),
        'Added database "test1_slave" to group "test1_history"',
        'Added database "test1_master2" to group "test1_history"',
        'Added database group "test1_history"',
    )
    same(m("bucardo_ctl deactivate benchcopy"), "Deactivating sync benchcopy")  # 45
    same(m("bucardo_ctl list sync benchcopy"), "Sync: benchcopy  (fullcopy)  beta =>  test1_slave  (Inactive)")
    same(m("bucardo_ctl remove sync benchcopy"), REMOVED.format("benchcopy"), NOTE)
    printed = m("bucardo_ctl add sync benchcopy source=beta targetgroup=test1_history type=fullcopy")
    same(printed, 'Added sync "benchcopy"')
    started(m("bucardo_ctl start"))
    same(m("bucardo_ctl kick benchcopy"), "Kicked sync benchcopy")
    # A clone's history is equal before the kick, whose copies may come late: not over what is written below.
    served(m, "benchcopy", 2)
    assert history(m, 241) == history(m, 242) == history(m, 243), "the history is everywhere"
    x("pgbench -h 10.11.12.241 -p 5432 -U postgres -c 1 -t 10 test1")  # 46
    soon(lambda: equal(m, (*TABLES, HISTORY), 241, 243), "all four tables are equal on both masters", 30)
    # In steps 24 and 26 the slave was written to by itself; what the master has changed since is as on the master.
    soon(lambda: equal(m, (*CHANGED, HISTORY), 241, 242), "what changed is equal on the slave", 30)
    assert len(history(m, 243)) == 10
    on_slave = [state(m, 242, table) for table in (*TABLES, HISTORY)]
    x("pgbench -h 10.11.12.243 -p 5432 -U postgres -c 1 -t 10 test1")
    soon(lambda: equal(m, TABLES, 241, 243), "the masters are equal", 30)
    assert unchanged_for(lambda: str(history(m, 241)), 1.5), "the second master's history stays there"
    assert history(m, 243) != history(m, 241)
    assert [state(m, 242, table) for table in (*TABLES, HISTORY)] == on_slave, "without makedelta nothing cascades"


def _rename(c: Cluster) -> None:
    m = c.master
    herds(m("bucardo_ctl list herd"), "benchdelta", "benchcopy")  # 47
    same(
        m("bucardo_ctl list sync"),
        "Sync: benchcopy   (fullcopy )  beta  =>  test1_history  (Active)",
        "Sync: benchdelta  (pushdelta)  alpha =>  test1_slave  (Active)",
    )
    refusal = 'Cannot remove active sync "benchdelta": please deactivate it first'
    same(m("bucardo_ctl remove sync benchdelta", code=1), refusal)  # 48
    for name in ("benchdelta", "benchcopy"):  # 49
        same(m(f"bucardo_ctl deactivate {name}"), f"Deactivating sync {name}")
    for name in ("benchdelta", "benchcopy"):
        same(m(f"bucardo_ctl remove sync {name}"), REMOVED.format(name), NOTE)
    same(m("bucardo_ctl list sync", code=1), EMPTY.format("sync"))
    # What the one install has removed is still there for the other.
    query(m, 241, "update pgbench_tellers set filler = 'still' where tid = 2")
    soon(lambda: equal(m, TABLES, 241, 243), "the other install's swap goes on", 30)
    printed = m("bucardo_ctl add sync benchdeltaalpha source=alpha targetdb=test1_slave type=pushdelta")  # 50
    same(printed, 'Added sync "benchdeltaalpha"')
    same(
        m("bucardo_ctl list dbgroup"),
        "Database group: test1          Members: test1_slave",
        "Database group: test1_history  Members: test1_master2, test1_slave",
    )
    printed = m("bucardo_ctl add sync benchcopybeta source=beta targetgroup=test1_history type=fullcopy")
    same(printed, 'Added sync "benchcopybeta"')
    same(
        m("bucardo_ctl list sync"),
        "Sync: benchcopybeta    (fullcopy )  beta  =>  test1_history  (Active)",
        "Sync: benchdeltaalpha  (pushdelta)  alpha =>  test1_slave  (Active)",
    )
    started(m("bucardo_ctl start"))


def _second_copy(c: Cluster) -> None:
    m, m2 = c.master, c.master2
    m2("bucardo_ctl stop")  # 51, not printed in the how-to
    m2("bucardo_ctl add db test1 name=test1_slave host=10.11.12.242 port=5432")
    m2("bucardo_ctl add all tables db=test1_master2 -t pgbench_history herd=eta")
    m2("bucardo_ctl add dbgroup test1_history test1_master test1_slave")
    m2("bucardo_ctl add sync benchcopyeta source=eta targetgroup=test1_history type=fullcopy")
    m2("bucardo_ctl deactivate benchswap")
    m2("bucardo_ctl remove sync benchswap")
    m2("bucardo_ctl add sync benchswapgamma source=gamma targetdb=test1_master type=swap")
    started(m2("bucardo_ctl start"))  # 52
    for title in (
        "Bucardo Master Control Program v4.5.0. Active syncs: benchcopyeta, benchswapgamma",
        'Bucardo Controller. Sync "benchcopyeta" (fullcopy) for source "eta"',
        'Bucardo Controller. Sync "benchswapgamma" (swap) for source "gamma"',
        'Bucardo Kid. Sync "benchcopyeta": (fullcopy) "test1_master2" -> "test1_master"',
        'Bucardo Kid. Sync "benchcopyeta": (fullcopy) "test1_master2" -> "test1_slave"',
        'Bucardo Kid. Sync "benchswapgamma": (swap) "test1_master2" -> "test1_master"',
    ):
        soon(lambda title=title: title in "\n".join(m2.processes()), title)
    soon(lambda: m("bucardo_ctl status").count("|idle ") == 2, "the first master's syncs are idle")
    theirs, copies = history(m, 243), [(m, "benchcopybeta"), (m2, "benchcopyeta")]
    assert history(m, 241) != theirs and [runs(*each) for each in copies] == [0, 0], "neither was kicked"
    for name in ("benchcopyeta", "benchswapgamma"):  # 53
        same(m2(f"bucardo_ctl kick {name}"), f"Kicked sync {name}")
    served(m2, "benchcopyeta", 2)
    assert all(history(m, number) == theirs for number in (241, 242, 243)), "the second master's history is everywhere"
    unending = "two opposite copies chase each other"
    assert unchanged_for(lambda: str([runs(*each) for each in copies]), 1.5), unending
    assert [runs(*each) for each in copies] == [0, 2], unending
    c.other("pgbench -h 10.11.12.241 -p 5432 -U postgres -c 1 -t 5 test1")
    soon(lambda: equal(m, (*TABLES, HISTORY), 241, 243), "both masters' installs work side by side", 30)


def _housekeep(c: Cluster) -> None:
    x = c.other
    for number in (241, 243):  # 54
        command = f"psql -X -q -h 10.11.12.{number} -p 5432 -U bucardo -d test1 -c"
        same(
            x(f"{command} \"select bucardo_purge_delta('10 minutes'::interval)\""),
            "<any>bucardo_purge_delta<any>",
            "-<any>",
            " Rows deleted from bucardo_delta: <n> Rows deleted from bucardo_track: <n>",
            "(1 row)",
        )
    assert equal(x, TABLES, 241, 243), "nothing that anybody needs is gone"
    noon = "date_trunc('week', now()) - interval '12 hours'"  # of the last Sunday: something to purge
    first = "id = (select min(id) from catalog.run)"
    old = f"update catalog.run set started_at = {noon}, finished_at = {noon} where {first}"
    c.master(f'psql -q -d bucardo -c "{old}"')
    for number in (241, 243):  # 55
        command = f"psql -X -q -h 10.11.12.{number} -p 5432 -U bucardo -d bucardo -c"
        printed = x(f"{command} \"select bucardo_purge_q_table('5 minutes'::interval)\"").splitlines()
        assert printed[0].strip() == "bucardo_purge_q_table" and printed[2].strip().isdigit()
        assert re.fullmatch(r"NOTICE:  Rows left in q table: \d+", printed[-1])
        assert int(printed[2]) == (1 if number == 241 else 0)
    (c.master.folder / "bucardo_daily_purge.sql").write_text(DAILY_PURGE)  # 56
    (c.master.folder / "bucardo_purge.sh").write_text(PURGE_SCRIPT)
    day = c.master("/bin/date --date 'last Sunday' +%Y%m%d").strip()
    c.master("bash bucardo_purge.sh")
    log = (c.master.folder / "bucardo-purge").read_text()
    assert re.search(r"(?s)BEGIN DAILY PURGE.*\nDELETE \d+\nDROP TABLE\n=+END DAILY PURGE", log), log
    assert c.master(f"psql -d bucardo -Atc \"select to_regclass('freezer.child_q_{day}')\"") == "\n"
