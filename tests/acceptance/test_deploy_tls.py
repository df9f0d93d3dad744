"""TLS from a deploy: three nodes on this machine, `tls: yes`, looked at as a client does that trusts nobody.

The tests share one lab, in this order. PostgreSQL is the system's own: the wheel's programs are built without TLS.
"""

from __future__ import annotations

import os
import re
import socket
import ssl
import struct
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
import yaml

from provision.certificates import Authority, Pair
from provision.certificates.pairs import new_certificate
from provision.secrets import Secret
from tests.fixtures.cli import Program, Result
from tests.fixtures.local_lab import LocalLab, lab_folder
from tests.fixtures.wait import until

UNCHANGED = "Everything is as declared. Nothing was changed."
SSL_REQUEST = struct.pack("!ii", 8, 80877103)
SESSIONS = "select ssl from pg_stat_ssl join pg_stat_activity using (pid) where usename = 'bucardo'"


@pytest.fixture(scope="module")
def fresh() -> Iterator[tuple[LocalLab, Result]]:
    """A lab with TLS, and what its first deploy printed."""
    folder = lab_folder()
    lab = LocalLab(folder, Program(folder))
    lab.edit("version: 16", "version: 15")
    lab.edit("source: embedded", "source: system")
    lab.edit("connection: local", "connection: local\n    tls: yes")
    try:
        yield lab, lab.deploy("--diff")
    finally:
        lab.close()


@pytest.fixture
def lab(fresh: tuple[LocalLab, Result]) -> LocalLab:
    fresh[1].ok()
    return fresh[0]


def login(lab: LocalLab, host: str, *, root: Path | None = None, name: str = "", mode: str = "verify-full") -> bool:
    """Log in as the replicator does; whether the session is encrypted. name: what to expect instead of the host."""
    with psycopg.connect(
        host=name or lab.addresses[host],
        hostaddr=lab.addresses[host],
        port=lab.port,
        dbname="test1",
        user="bucardo",
        password=yaml.safe_load((lab.state / "secrets.yml").read_text())["bucardo"],
        sslmode=mode,
        sslrootcert=str(root or lab.state / "root.crt"),
    ) as connection:
        return bool(connection.execute("select ssl from pg_stat_ssl where pid = pg_backend_pid()").fetchone()[0])  # type: ignore[index]


def shown(lab: LocalLab, host: str) -> str:
    """The certificate that a server shows, as PEM."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection((lab.addresses[host], lab.port), timeout=10) as plain:
        plain.sendall(SSL_REQUEST)
        assert plain.recv(1) == b"S"
        with context.wrap_socket(plain) as encrypted:
            found = encrypted.getpeercert(binary_form=True)
            assert found
            return ssl.DER_cert_to_PEM_cert(found)


def without_comments(pem: str) -> str:
    return "".join(re.findall(r"-----BEGIN CERTIFICATE.+?END CERTIFICATE-----\n", pem, re.DOTALL))


def test_the_replicators_sessions_are_encrypted(lab: LocalLab) -> None:
    for host in lab.addresses:
        until(lambda host=host: lab.execute(host, SESSIONS), 20, f"a session of the replicator on {host}")  # type: ignore[misc]
        assert {row[0] for row in lab.execute(host, SESSIONS)} == {True}


def test_a_second_run_changes_nothing(lab: LocalLab) -> None:
    assert UNCHANGED in lab.deploy("--no-proof").ok().out


def test_a_client_that_checks_everything_gets_in_and_no_other(lab: LocalLab, tmp_path: Path) -> None:
    assert login(lab, "slave")
    assert login(lab, "slave", name="slave")
    with pytest.raises(psycopg.OperationalError, match="no encryption"):
        login(lab, "slave", mode="disable")
    wrong = tmp_path / "wrong.crt"
    wrong.write_text(Authority(tmp_path / "ca", "other", keep=True).root)
    with pytest.raises(psycopg.OperationalError, match="certificate verify failed"):
        login(lab, "slave", root=wrong)
    with pytest.raises(psycopg.OperationalError, match="does not match host name"):
        login(lab, "slave", name="master")


def test_keys_are_for_the_server_alone_and_never_shown(fresh: tuple[LocalLab, Result], lab: LocalLab) -> None:
    server = (lab.state / "master" / "data" / "postmaster.pid").stat().st_uid
    facts = lab("facts", "--json").ok().out
    for host in lab.addresses:
        key, certificate = (lab.state / host / "data" / f"server.{ending}" for ending in ("key", "crt"))
        assert (key.stat().st_mode & 0o777, certificate.stat().st_mode & 0o777) == (0o600, 0o644)
        assert key.stat().st_uid == certificate.stat().st_uid == server
        lines = [line for line in key.read_text().splitlines() if not line.startswith("-----")]
        assert lines and not any(line in text for line in lines for text in (fresh[1].out, fresh[1].err, facts))
        assert certificate.read_text().splitlines()[2] in fresh[1].out, "a certificate is shown"


def test_status_shows_until_when(lab: LocalLab) -> None:
    end = datetime.now(UTC) + timedelta(days=730)
    assert lab("status").ok().out.count(f"{end:%Y-%m-}") == 3


def age(lab: LocalLab, host: str, days: int) -> str:
    """Make a host's certificate one that was made some days ago, here and on the host; its text."""
    folder = lab.state / "ca"
    kept = folder / "nodes" / f"{host}.crt"
    names = [host, lab.addresses[host]]
    ca, key = (Secret(path.read_text()) for path in (folder / "ca.key", kept.with_suffix(".key")))
    pair = Pair(certificate=(folder / "ca.crt").read_text(), key=ca)
    old = new_certificate(pair, names, key, datetime.now(UTC) - timedelta(days=days)).certificate
    kept.write_text(old)
    lab.deploy("--no-proof").ok()
    return without_comments((lab.state / host / "data" / "server.crt").read_text())


def test_a_certificate_is_renewed_in_time_and_taken_up(lab: LocalLab) -> None:
    pid, key = lab.postmaster("slave"), (lab.state / "slave" / "data" / "server.key").read_text()
    middle_aged = age(lab, "slave", 400)
    assert shown(lab, "slave") == middle_aged
    assert UNCHANGED in lab.deploy("--no-proof").ok().out, "it is good for a while"
    with lab.connect("slave") as before:
        renewed = age(lab, "slave", 600)
        before.execute("select 1")
    assert shown(lab, "slave") == renewed != middle_aged
    assert (lab.state / "slave" / "data" / "server.key").read_text() == key
    assert lab.postmaster("slave") == pid, "it was reloaded, not restarted"
    assert login(lab, "slave")


def test_a_run_that_died_before_the_reload_is_mended(lab: LocalLab) -> None:
    """The need of a reload is seen, not remembered."""
    path = lab.state / "slave" / "data" / "server.crt"
    later = datetime.now(UTC).timestamp() + 2
    os.utime(path, (later, later))
    assert "reload the server" in lab("plan").ok().out
    until(lambda: datetime.now(UTC).timestamp() > later, 5, "the file's time to have come")
    assert "reload the server" in lab.deploy("--no-proof").ok().out
    assert UNCHANGED in lab.deploy("--no-proof").ok().out


def test_given_certificates(lab: LocalLab, tmp_path: Path) -> None:
    """One host with a certificate of somebody else's authority: the replicator trusts both."""
    company = Authority(lab.folder / "company", "company", keep=True, now=datetime.now(UTC) - timedelta(days=710))
    pair = company.pair("master", [lab.addresses["master"]])
    (lab.folder / "master.key").write_text(pair.key.reveal())
    (lab.folder / "master.crt").write_text(pair.certificate)
    (lab.folder / "company.crt").write_text(company.root)
    address = f"address: {lab.addresses['master']},"
    lab.edit(address, f"{address} tls: {{certificate: master.crt, key: master.key, ca: company.crt}},")
    warned = lab.deploy()
    assert re.search(r"warning: \S+master\.crt: the certificate ends on \S+, in \d+ days", warned.ok().err)
    assert shown(lab, "master") == without_comments(pair.certificate)
    assert login(lab, "master") and login(lab, "slave")


def test_switched_off_and_on_again(lab: LocalLab) -> None:
    lab.edit("tls: yes", "tls: no")
    lab.deploy("--no-proof").ok()
    assert lab.value("slave", "show ssl") == "off"
    assert not login(lab, "slave", mode="prefer")
    lab.edit("tls: no", "tls: yes")
    lab.deploy("--no-proof").ok()
    assert login(lab, "slave")


def test_a_new_authority(lab: LocalLab, tmp_path: Path) -> None:
    old = tmp_path / "old.crt"
    old.write_text((lab.state / "root.crt").read_text())
    (lab.state / "ca").rename(lab.folder / "ca.old")
    lab.deploy("--no-proof").ok()
    assert login(lab, "slave")
    with pytest.raises(psycopg.OperationalError, match="certificate verify failed"):
        login(lab, "slave", root=old)
    lab.execute("master", "update pgbench_accounts set abalance = 4711 where aid = 1")
    query = "select abalance from pgbench_accounts where aid = 1"
    until(lambda: lab.value("slave", query) == 4711, 30, "a row to come over the new connections")
    assert UNCHANGED in lab.deploy("--no-proof").ok().out


def test_a_new_key_of_one_host(lab: LocalLab) -> None:
    path = lab.state / "slave" / "data" / "server.key"
    before = path.read_text()
    for ending in ("key", "crt"):
        (lab.state / "ca" / "nodes" / f"slave.{ending}").unlink()
    lab.deploy("--no-proof").ok()
    assert path.read_text() != before
    assert login(lab, "slave")


def test_nothing_is_left(lab: LocalLab) -> None:
    lab("destroy", "--yes").ok()
    assert not lab.state.exists()
