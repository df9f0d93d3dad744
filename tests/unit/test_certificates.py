"""Certificates: an authority of an inventory's own, what it gives to nodes and when anew, and judging given ones."""

from __future__ import annotations

import stat
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from provision.certificates import Authority, Pair, end_of, given, outlived
from provision.certificates.pairs import new_authority, new_certificate, new_key, private_key
from provision.certificates.reading import due
from provision.errors import InputError
from provision.inventory import Inventory, hba_rules, load
from provision.plan import items
from provision.secrets import Secret, Vault
from provision.tasks import Site, tls

NOW = datetime(2030, 1, 1, tzinfo=UTC)
NAMES = ["master", "10.11.12.241", "db.example.org"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state" / "ca"


def authority(folder: Path, *, now: datetime = NOW, keep: bool = True) -> Authority:
    folder.parent.mkdir(exist_ok=True)
    return Authority(folder, "prod", keep=keep, now=now)


def verify(pair: Pair, root: str, name: str, at: datetime = NOW) -> None:
    """As a client does that checks everything. Raises VerificationError."""
    subject = x509.IPAddress(ip_address(name)) if name[0].isdigit() else x509.DNSName(name)
    store = Store([x509.load_pem_x509_certificate(root.encode())])
    verifier = PolicyBuilder().store(store).time(at).build_server_verifier(subject)
    verifier.verify(x509.load_pem_x509_certificate(pair.certificate.encode()), [])


@pytest.mark.parametrize("name", NAMES)
def test_a_client_takes_the_certificate_for_each_name(folder: Path, name: str) -> None:
    ours = authority(folder)
    verify(ours.pair("master", NAMES), ours.root, name)


def test_a_client_takes_it_for_nothing_else(folder: Path, tmp_path: Path) -> None:
    ours = authority(folder)
    pair = ours.pair("master", NAMES)
    for name, root, at in (
        ("slave", ours.root, NOW),
        ("10.11.12.242", ours.root, NOW),
        ("master", authority(tmp_path / "other" / "ca").root, NOW),
        ("master", ours.root, NOW + timedelta(days=731)),
    ):
        with pytest.raises(VerificationError):
            verify(pair, root, name, at)
    verify(pair, ours.root, "master", NOW - timedelta(hours=23))  # a node whose clock is behind


def test_a_node_cannot_sign(folder: Path) -> None:
    ours = authority(folder)
    false = new_certificate(ours.pair("master", NAMES), ["slave"], new_key(), NOW)
    with pytest.raises(VerificationError):
        verify(false, ours.root, "slave")


def test_files_are_for_their_owner_and_kept(folder: Path) -> None:
    pair = authority(folder).pair("master", NAMES)
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*.*")} == {
        *("ca.crt", "ca.key", "nodes/master.crt", "nodes/master.key"),
    }
    assert all(stat.S_IMODE(path.stat().st_mode) & 0o077 == 0 for path in (folder, *folder.rglob("*")))
    assert authority(folder, now=NOW + timedelta(days=100)).pair("master", NAMES) == pair


def test_a_plan_makes_nothing_and_does_not_change_its_mind(folder: Path) -> None:
    ours = authority(folder, keep=False)
    assert ours.pair("master", NAMES) is ours.pair("master", NAMES)
    verify(ours.pair("master", NAMES), ours.root, "master")
    assert not folder.exists()


@pytest.mark.parametrize(("days", "renewed"), [(0, False), (485, False), (488, True), (729, True), (900, True)])
def test_it_is_renewed_in_the_last_third_of_its_life(folder: Path, days: int, renewed: bool) -> None:
    first = authority(folder).pair("master", NAMES)
    later = NOW + timedelta(days=days)
    second = authority(folder, now=later).pair("master", NAMES)
    assert (second.certificate != first.certificate) is renewed
    assert second.key == first.key, "so that one file changes on the host"
    verify(second, authority(folder).root, "master", later)


def test_why_it_is_due() -> None:
    ca, other = new_authority("prod", NOW), new_authority("prod", NOW)
    key = new_key()
    good = new_certificate(ca, NAMES, key, NOW)
    assert due(good, ca, NAMES, NOW) == ""
    assert due(good, ca, NAMES[:1], NOW) == ""
    assert due(good, other, NAMES, NOW) == "another authority has signed it"
    assert due(good, ca, [*NAMES, "10.0.0.1"], NOW) == "it is for other names"
    assert due(good, ca, NAMES, NOW + timedelta(days=700)) == "it ends on 2032-01-01"
    assert due(Pair(certificate=good.certificate, key=new_key()), ca, NAMES, NOW) == "it is of another key"
    assert due(Pair(certificate="", key=key), ca, NAMES, NOW) == "there is none"
    assert due(Pair(certificate=good.certificate, key=Secret("nonsense")), ca, NAMES, NOW) == "there is none"


def test_a_damaged_certificate_of_a_node_is_made_anew(folder: Path) -> None:
    authority(folder).pair("master", NAMES)
    (folder / "nodes" / "master.key").write_text("nonsense")
    ours = authority(folder)
    verify(ours.pair("master", NAMES), ours.root, "master")


def test_a_damaged_authority_is_not_replaced_unasked(folder: Path) -> None:
    authority(folder).pair("master", NAMES)
    (folder / "ca.crt").write_text("nonsense")
    with pytest.raises(InputError, match=r"ca\.crt: no certificate with its key beside it; restore both from a copy"):
        authority(folder).pair("master", NAMES)
    (folder / "ca.key").chmod(0o644)
    with pytest.raises(InputError, match=r"ca\.key: found mode 0644, expected 0600"):
        authority(folder).pair("master", NAMES)
    assert (folder / "ca.crt").read_text() == "nonsense"


def test_many_at_once_agree_on_the_authority(folder: Path) -> None:
    made: list[tuple[Pair, str]] = []

    def work(number: int) -> None:
        ours = authority(folder)
        made.append((ours.pair(f"n{number % 3}", [f"n{number % 3}"]), ours.root))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({root for _, root in made}) == 1
    assert len({pair.certificate for pair, _ in made}) == 3


def test_the_end_of_the_authority_is_told_in_time(folder: Path) -> None:
    assert authority(folder).warning() == ""
    authority(folder).pair("master", NAMES)
    assert authority(folder).warning() == ""
    late = authority(folder, now=NOW + timedelta(days=3652 - 364))
    assert "ends on 2040-01-01: move the folder away" in late.warning()
    end = end_of(late.pair("master", NAMES).certificate)
    assert end and end <= (end_of(late.root) or NOW), "no certificate outlives its authority"


def test_keys_show_nowhere(folder: Path) -> None:
    pair = authority(folder).pair("master", NAMES)
    assert pair.key.reveal().startswith("-----BEGIN PRIVATE KEY-----")
    assert "PRIVATE" not in repr(pair) + pair.certificate
    assert pair.certificate.startswith("# master, 10.11.12.241, db.example.org: valid until 2032-01-01\n-----BEGIN")


Given = Callable[..., dict[str, Path]]


@pytest.fixture
def given_files(tmp_path: Path) -> Given:
    """Writes a certificate, key and authority: `given_files(now=..., names=...)`; their paths."""

    def make(now: datetime = NOW, names: list[str] = NAMES) -> dict[str, Path]:
        ca = new_authority("company", now)
        pair = new_certificate(ca, names, new_key(), now)
        texts = {"certificate": pair.certificate, "key": pair.key.reveal(), "ca": ca.certificate}
        for name, text in texts.items():
            (tmp_path / name).write_text(text)
        return {name: tmp_path / name for name in texts}

    return make


def test_given_ones_are_taken(given_files: Given) -> None:
    files = given_files()
    pair, root = given(**files, address="10.11.12.241")
    verify(pair, root, "master")
    again, _ = given(files["certificate"], Secret(files["key"].read_text()), files["ca"], "master")
    assert again == pair


def test_given_ones_that_cannot_work_are_refused(given_files: Given, tmp_path: Path) -> None:
    files = given_files()
    with pytest.raises(InputError, match=r"certificate: the certificate is not for 10\.0\.0\.9, where clients look"):
        given(**files, address="10.0.0.9")
    other = tmp_path / "other"
    other.write_text(new_key().reveal())
    with pytest.raises(InputError, match=r"certificate: found a certificate of another key than /.+/other"):
        given(**{**files, "key": other}, address="master")
    other.write_text(new_authority("else", NOW).certificate)
    with pytest.raises(InputError, match=r"no certificate in it or in /.+/other has signed the one of CN=master"):
        given(**{**files, "ca": other}, address="master")
    sealed = private_key(Secret(files["key"].read_text())).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"word")
    )
    other.write_bytes(sealed)
    with pytest.raises(InputError, match=r"other: found no private key in PEM without a passphrase"):
        given(**{**files, "key": other}, address="master")
    other.write_text("nonsense")
    with pytest.raises(InputError, match=r"the key: found no private key") as caught:
        given(files["certificate"], Secret("hunter2"), files["ca"], "master")
    assert "hunter2" not in str(caught.value)
    with pytest.raises(InputError, match=r"other: found no certificate in PEM"):
        given(**{**files, "certificate": other}, address="master")
    with pytest.raises(InputError, match=r"nowhere: cannot be read: No such file"):
        given(**{**files, "ca": tmp_path / "nowhere"}, address="master")


def test_a_bundle_may_hold_what_is_no_proper_certificate(given_files: Given) -> None:
    files = given_files()
    improper = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    files["ca"].write_text(improper + files["ca"].read_text())
    assert given(**files, address="master")[1].startswith(improper)
    files["ca"].write_text(improper)
    with pytest.raises(InputError, match="ca: found no certificate in PEM"):
        given(**files, address="master")


def test_wildcards_are_understood(given_files: Given) -> None:
    files = given_files(names=["*.example.org"])
    given(**files, address="db1.example.org")
    with pytest.raises(InputError, match=r"not for example\.org"):
        given(**files, address="example.org")


@pytest.mark.parametrize(
    ("days", "said"),
    [
        (0, []),
        (699, []),
        (701, ["the certificate ends on 2032-01-01, in 29 days"]),
        (731, ["the certificate ended on 2032-01-01: clients that check it refuse the server"]),
        (-5, ["the certificate begins on 2029-12-31: until then clients refuse the server"]),
    ],
)
def test_given_ones_are_warned_about_in_time(given_files: Given, days: int, said: list[str]) -> None:
    path = given_files()["certificate"]
    assert list(outlived(path, NOW + timedelta(days=days))) == [f"{path}: {text}" for text in said]


def inventory(tmp_path: Path, hosts: str) -> Inventory:
    path = tmp_path / "hosts.yml"
    path.write_text(f"all:\n  vars:\n    state_dir: state\n    postgresql: {{source: system}}\n  hosts: {hosts}\n")
    return load(path)


def site(found: Inventory) -> Site:
    return Site.of(found)


def test_hosts_have_tls_unless_they_are_this_machine(tmp_path: Path) -> None:
    found = inventory(
        tmp_path, "{a: {}, b: {connection: local}, c: {tls: no}, d: {connection: local, address: 127.0.0.4, tls: yes}}"
    )
    assert [host.name for host in found.hosts if host.tls] == ["a", "d"]
    assert [notice.message for notice in found.warnings] == [
        "tls: no sends rows in clear over the network, for whoever listens"
    ]


def test_what_a_host_is_given(tmp_path: Path) -> None:
    found = inventory(tmp_path, "{a: {address: 10.0.0.1, ssh: {host: jump}}}")
    node = site(found).node(found.host("a"))
    key, certificate, root = tls.files(node)
    assert tls.names(node.host) == ["a", "10.0.0.1", "jump"]
    assert (key.mode, key.owner, key.secret) == (0o600, "postgres", True)  # type: ignore[attr-defined]
    assert (certificate.mode, root.mode) == (0o644, 0o644)  # type: ignore[attr-defined]
    order = [item.resource.name.rpartition("/")[2] for item in items(node, ["postgresql"])]
    wanted = ["server.key", "server.crt", "root.crt", "postgresql.conf", "pg_hba.conf"]
    assert [name for name in order if name in wanted] == wanted
    assert tls.options(found, node.host) == {"sslmode": "verify-full", "sslrootcert": f"{tmp_path}/state/root.crt"}


def test_hosts_without_tls_are_given_nothing(tmp_path: Path) -> None:
    found = inventory(tmp_path, "{a: {tls: no}}")
    assert tls.files(site(found).node(found.host("a"))) == []
    assert tls.options(found, found.host("a")) == {}
    assert tls.roots(site(found)) == ""


def test_given_ones_of_one_host_join_the_others(tmp_path: Path, given_files: Given) -> None:
    given_files(datetime.now(UTC) - timedelta(days=710), ["10.0.0.1"])
    found = inventory(
        tmp_path, "{a: {address: 10.0.0.1, tls: {certificate: certificate, key: key, ca: ca}}, b: {}, c: {}}"
    )
    ours = site(found)
    assert tls.roots(ours).count("BEGIN CERTIFICATE") == 2
    assert [text.partition(": ")[0] for text in tls.warnings(ours)] == [str(tmp_path / "certificate")]
    assert tls.identity(ours.node(found.host("a")))[0].certificate == (tmp_path / "certificate").read_text()


def test_a_key_from_the_sealed_file(tmp_path: Path, given_files: Given, monkeypatch: pytest.MonkeyPatch) -> None:
    key = given_files(names=["10.0.0.1"])["key"].read_text()
    (tmp_path / "key").unlink()
    monkeypatch.setenv("PGHERD_PASSPHRASE", "correct horse battery")
    with Vault(tmp_path / "secrets.enc").changing() as entries:
        entries["tls/a"] = key.strip()
    monkeypatch.setenv("PGHERD_PASSPHRASE", "correct horse battery")
    found = inventory(tmp_path, "{a: {address: 10.0.0.1, tls: {certificate: certificate, key: !secret tls/a, ca: ca}}}")
    assert tls.identity(site(found).node(found.host("a")))[0].key.reveal().strip() == key.strip()


def kinds(found: Inventory, host: str) -> list[tuple[str, str]]:
    return [(rule.kind, rule.address) for rule in hba_rules(found, found.host(host))]


def test_nobody_gets_in_over_a_network_without_tls(tmp_path: Path) -> None:
    access = "postgresql: {access: [{user: a, database: a, from: [10.0.0.0/8, 127.0.0.1, '::1', samehost, samenet]}]}"
    found = inventory(tmp_path, f"{{a: {{{access}}}, b: {{tls: no, address: 10.0.0.2, {access}}}}}")
    assert kinds(found, "a") == [
        ("local", ""),
        ("hostssl", "10.0.0.0/8"),
        ("host", "127.0.0.0/8"),
        ("host", "::1/128"),
        ("host", "samehost"),
        ("hostssl", "samenet"),
    ]
    assert {kind for kind, _ in kinds(found, "b")} == {"local", "host"}


def test_between_nodes_of_this_machine_loopback_is_the_network(tmp_path: Path) -> None:
    access = "postgresql: {access: [{user: a, database: a, from: 127.0.0.1}]}"
    found = inventory(tmp_path, f"{{a: {{connection: local, tls: yes, {access}}}}}")
    assert kinds(found, "a") == [("host", "127.0.0.0/8"), ("hostssl", "127.0.0.0/8")]
