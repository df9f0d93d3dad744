"""Logging in and becoming root, by Fabric and by the ssh program on real servers: jump hosts, host keys, passphrases,
passwords, and sudo in all its moods. What does not work is told in a sentence that says what to do."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from provision.errors import HostKeyTrouble, LoginRefused, SudoRefused, Unreachable
from provision.inventory import HostKeys
from provision.secrets import Secret
from provision.transport import Transport, hostkeys
from provision.transport.login import Login
from provision.transport.openssh import OpenSSH
from provision.transport.ssh import SSH
from tests.fixtures import password_sshd, sshd
from tests.fixtures.missing import give_up
from tests.fixtures.sshd import Sshd

Kind = type[SSH] | type[OpenSSH]
PASSWORD = Secret("open sesame; echo $HOME")

SUDO = """#!/bin/sh
# As sudo -S does: reads a line as the password, then runs what it was given with the rest of its standard input.
case $SUDO_MOOD in
  requiretty) echo 'sudo: sorry, you must have a tty to run sudo' >&2; exit 1 ;;
  refuses) echo "$(id -un) is not in the sudoers file." >&2; exit 1 ;;
  asks)
    case "$*" in *-n*) echo 'sudo: a password is required' >&2; exit 1 ;; esac
    IFS= read -r given
    [ "$given" = 'open sesame; echo $HOME' ] || {
      echo 'Sorry, try again.' >&2; echo 'sudo: no password was provided' >&2
      echo 'sudo: 1 incorrect password attempt' >&2; exit 1
    } ;;
esac
while [ "$1" != -- ]; do shift; done; shift
exec env BECAME=root "$@"
"""


@pytest.fixture(params=[SSH, OpenSSH], ids=["ssh", "openssh"])
def kind(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kind:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    chosen: Kind = request.param
    return chosen


def start(folder: Path, **options: str) -> Sshd:
    folder.mkdir(parents=True, exist_ok=True)
    mood = options.pop("mood", "")
    env = {"PATH": f"{folder}:{os.environ['PATH']}", "SUDO_MOOD": mood, "TMPDIR": str(folder)}
    try:
        return sshd.start(folder, env=env, **options)
    except sshd.NoSshd as missing:
        give_up(missing)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    running = start(tmp_path_factory.mktemp("sshd"))
    yield running
    running.close()


@pytest.fixture(scope="module")
def jump(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    running = start(tmp_path_factory.mktemp("jump"), address="127.0.0.2")
    yield running
    running.close()


@pytest.fixture
def login(server: Sshd) -> Login:
    return Login(host=server.address, port=server.port, user=server.user, config=server.config)


def said(transport: Transport, script: str = "true") -> str:
    """What a transport has against a script; an AssertionError when it has nothing."""
    try:
        with pytest.raises((Unreachable, SudoRefused)) as caught:
            transport.run(script)
    finally:
        transport.close()
    return str(caught.value)


def out(transport: Transport, script: str) -> str:
    try:
        return transport.run(script).out
    finally:
        transport.close()


# Jump hosts


def config_by_way_of(folder: Path, server: Sshd, jump: Sshd, known: str | None = None) -> Path:
    """A client configuration in which the server `inner` is behind `outer`."""
    keys = known if known is not None else server.known_hosts.read_text() + jump.known_hosts.read_text()
    (folder / "known_hosts").write_text(keys)
    config = folder / "ssh_config"
    config.write_text(
        f"Host inner\n  HostName {server.address}\n  Port {server.port}\n  IdentityFile {server.user_key}\n"
        "  ProxyJump outer\n"
        f"Host outer\n  HostName {jump.address}\n  Port {jump.port}\n  IdentityFile {jump.user_key}\n"
        f"Host *\n  User {server.user}\n  IdentitiesOnly yes\n  UserKnownHostsFile {folder / 'known_hosts'}\n"
    )
    return config


def test_a_jump_host_of_the_ssh_config(kind: Kind, server: Sshd, jump: Sshd, tmp_path: Path) -> None:
    before = jump.log.count("Accepted publickey")
    transport = kind(Login(host="inner", config=config_by_way_of(tmp_path, server, jump)))
    assert out(transport, "echo $SSH_CONNECTION").split()[2] == server.address
    assert jump.log.count("Accepted publickey") == before + 1


def test_jump_hosts_of_the_inventory_are_visited_in_order(kind: Kind, server: Sshd, jump: Sshd, tmp_path: Path) -> None:
    config = config_by_way_of(tmp_path, server, jump)
    text = config.read_text().replace("  ProxyJump outer\n", "")
    # The second one is only known under a name that the first one could not reach, were it the last.
    config.write_text(text + f"Host second\n  HostName {jump.address}\n  Port {jump.port}\n")
    config.write_text(config.read_text() + f"Host second\n  IdentityFile {jump.user_key}\n")
    transport = kind(Login(host="inner", config=config, jump="outer,second"))
    assert out(transport, "echo $SSH_CONNECTION").split()[2] == server.address


def test_a_line_is_added_to_a_file_that_ends_in_the_middle_of_one(tmp_path: Path) -> None:
    (tmp_path / "known").write_text("half a line")
    hostkeys.append(tmp_path / "known", ["host type key"])
    assert (tmp_path / "known").read_text() == "half a line\nhost type key\n"


def test_the_order_of_jump_hosts_is_that_of_ssh(server: Sshd, jump: Sshd, tmp_path: Path) -> None:
    from provision.transport.gateway import hops

    transport = SSH(Login(host="inner", config=config_by_way_of(tmp_path, server, jump), jump="first,second"))
    assert [hop.original_host for hop in hops(transport._connection)] == ["first", "second", "inner"]


def test_a_command_as_the_way(kind: Kind, server: Sshd, jump: Sshd, tmp_path: Path) -> None:
    config = config_by_way_of(tmp_path, server, jump)
    transport = kind(Login(host="inner", config=config, proxy=f"ssh -F {config} -W %h:%p outer"))
    assert out(transport, "echo in") == "in\n"


def test_a_command_that_ends(kind: Kind, server: Sshd, jump: Sshd, tmp_path: Path) -> None:
    config = config_by_way_of(tmp_path, server, jump)
    found = said(kind(Login(host="inner", config=config, proxy="sh -c 'echo no way >&2; exit 1'")))
    assert "no way" in found or "Connection closed" in found


def test_where_ssh_gives_no_reason_it_is_asked_again(server: Sshd, jump: Sshd, tmp_path: Path) -> None:
    """Which happens when the command has ended before ssh writes to it."""
    config = config_by_way_of(tmp_path, server, jump)
    transport = OpenSSH(Login(host="inner", config=config, proxy="sh -c 'echo no way >&2; exit 1'"))
    found = str(transport._unreachable(""))
    assert "no way" in found or "Connection closed" in found


def test_the_key_of_a_jump_host_is_checked_too(kind: Kind, server: Sshd, jump: Sshd, tmp_path: Path) -> None:
    config = config_by_way_of(tmp_path, server, jump, known=server.known_hosts.read_text())
    found = said(kind(Login(host="inner", config=config)))
    assert f"the key of [{jump.address}]:{jump.port}" in found or "or of its jump host outer" in found
    assert "provision trust" in found


def test_a_jump_host_that_is_away(kind: Kind, server: Sshd, jump: Sshd, tmp_path: Path) -> None:
    config = config_by_way_of(tmp_path, server, jump)
    config.write_text(config.read_text().replace(f"Port {jump.port}", "Port 1"))
    found = said(kind(Login(host="inner", config=config)))
    assert "cannot be reached" in found or "cannot reach" in found
    assert "Is it up, and the address right?" in found


def test_a_host_that_the_jump_host_does_not_reach(kind: Kind, server: Sshd, jump: Sshd, tmp_path: Path) -> None:
    config = config_by_way_of(tmp_path, server, jump)
    config.write_text(config.read_text().replace(f"Port {server.port}", "Port 1"))
    found = said(kind(Login(host="inner", config=config)))
    assert "jump host" in found


# Host keys


def with_known(server: Sshd, folder: Path, known: str) -> Path:
    (folder / "known").write_text(known)
    config = folder / "config"
    config.write_text(server.config.read_text().replace(str(server.known_hosts), str(folder / "known")))
    return config


def test_an_unknown_key_is_told_with_what_to_do(kind: Kind, login: Login, server: Sshd, tmp_path: Path) -> None:
    strict = replace(login, config=with_known(server, tmp_path, ""))
    with pytest.raises(HostKeyTrouble, match="is not in known_hosts") as caught:
        kind(strict).run("true")
    assert f"[{server.address}]:{server.port}" in str(caught.value)
    assert "provision trust" in str(caught.value)


def test_a_changed_key_is_told_with_file_and_line(kind: Kind, login: Login, server: Sshd, tmp_path: Path) -> None:
    other = " ".join((server.folder / "user_key.pub").read_text().split()[:2])
    known = f"# others\nsomebody {other}\n[{server.address}]:{server.port} {other}\n"
    for policy in (HostKeys.STRICT, HostKeys.ACCEPT_NEW):
        changed = replace(login, config=with_known(server, tmp_path, known), host_keys=policy)
        with pytest.raises(HostKeyTrouble, match="is not the one in known_hosts") as caught:
            kind(changed).run("true")
        assert f"{tmp_path / 'known'}:3" in str(caught.value)


def test_hashed_names_are_found(login: Login, server: Sshd, tmp_path: Path) -> None:
    other = " ".join((server.folder / "user_key.pub").read_text().split()[:2])
    config = with_known(server, tmp_path, f"[{server.address}]:{server.port} {other}\n")
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", tmp_path / "known"], check=True, capture_output=True)
    assert f"{tmp_path / 'known'}:1" in said(SSH(replace(login, config=config)))


def test_a_new_key_is_added_and_the_rest_of_the_file_stays(
    kind: Kind, login: Login, server: Sshd, tmp_path: Path
) -> None:
    config = with_known(server, tmp_path, "# mine\nsomebody ssh-ed25519 AAAA\n")
    assert out(kind(replace(login, config=config, host_keys=HostKeys.ACCEPT_NEW)), "echo in") == "in\n"
    lines = (tmp_path / "known").read_text().splitlines()
    assert lines[:2] == ["# mine", "somebody ssh-ed25519 AAAA"]
    assert len(lines) == 3 and server.host_key in lines[2]


# Keys and passwords


def test_a_key_with_a_passphrase(kind: Kind, login: Login, server: Sshd, tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.write_bytes(server.user_key.read_bytes())
    locked.chmod(0o600)
    subprocess.run(["ssh-keygen", "-q", "-p", "-P", "", "-N", "secret words", "-f", locked], check=True)
    config = tmp_path / "config"
    config.write_text(server.config.read_text().replace(str(server.user_key), str(locked)))
    none = tmp_path / "none"
    none.write_text(f"Host *\n  IdentitiesOnly yes\n  UserKnownHostsFile {server.known_hosts}\n")
    for given in (replace(login, key_file=locked, config=none), replace(login, config=config)):
        with pytest.raises(LoginRefused, match="refuses the login") as caught:
            kind(given).run("true")
        assert f"has a passphrase: give it to the agent first (`ssh-add {locked}`)" in str(caught.value)


def test_a_key_of_another_kind_that_is_refused(kind: Kind, login: Login, server: Sshd, tmp_path: Path) -> None:
    key = tmp_path / "rsa"
    subprocess.run(["ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-N", "", "-f", key], check=True)
    config = tmp_path / "config"
    config.write_text(server.config.read_text().replace(str(server.user_key), str(key)))
    found = said(kind(replace(login, config=config)))
    assert f"refuses the login of {server.user}" in found
    assert "--ask-pass" in found


def test_the_agent_is_asked(kind: Kind, login: Login, server: Sshd, tmp_path: Path, agent: str) -> None:
    config = tmp_path / "config"
    config.write_text(f"Host *\n  UserKnownHostsFile {server.known_hosts}\n")
    subprocess.run(["ssh-add", "-q", server.user_key], check=True, env={**os.environ, "SSH_AUTH_SOCK": agent})
    assert out(kind(replace(login, config=config)), "echo in") == "in\n"


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Kind) -> Iterator[str]:
    socket = str(tmp_path / "agent")
    process = subprocess.Popen(["ssh-agent", "-D", "-a", socket], stdout=subprocess.DEVNULL)
    from tests.fixtures.wait import until

    until(lambda: Path(socket).exists(), 10, "the agent listens")
    monkeypatch.setenv("SSH_AUTH_SOCK", socket)
    yield socket
    process.terminate()
    process.wait(10)


def test_a_password_opens_the_door(kind: Kind, tmp_path: Path) -> None:
    with password_sshd.serving(tmp_path, PASSWORD.reveal()) as server:
        login = Login(host=password_sshd.ADDRESS, port=server.port, user="somebody", config=server.config)
        transport = kind(replace(login, password=PASSWORD))
        assert transport.run("echo in").out == "in\n"
        assert transport.run("echo again; env; cat /proc/[0-9]*/cmdline").out.find(PASSWORD.reveal()) < 0
        transport.close()
        assert set(server.offered) == {PASSWORD.reveal()}
        assert not list(tmp_path.rglob("askpass"))
        refused = said(kind(replace(login, password=Secret("a wrong one"))))
        assert "refuses the login of somebody" in refused and "Check the password" in refused
        assert "a wrong one" not in refused


# Sudo


@pytest.fixture(scope="module")
def moods(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Sshd]]:
    """Servers by what their sudo does."""
    running: dict[str, Sshd] = {}
    try:
        for mood in ("asks", "asks-nothing", "requiretty", "refuses", "missing"):
            folder = tmp_path_factory.mktemp(mood)
            if mood != "missing":
                (folder / "sudo").write_text(SUDO)
                (folder / "sudo").chmod(0o755)
            running[mood] = start(folder, mood=mood)
        for name in ("sh", "env", "cat", "mktemp", "rm"):
            (running["missing"].folder / name).symlink_to(f"/bin/{name}")
        yield running
    finally:
        for server in running.values():
            server.close()


def sudo_login(server: Sshd, password: Secret | None) -> Login:
    login = Login(host=server.address, port=server.port, user=server.user, config=server.config)
    return replace(login, sudo=True, become_password=password)


@pytest.mark.parametrize(
    ("mood", "password"),
    [("asks", PASSWORD), ("asks-nothing", PASSWORD), ("asks-nothing", None)],
    ids=["asks", "asks nothing, though a password is known", "asks nothing"],
)
def test_becoming_root(kind: Kind, moods: dict[str, Sshd], mood: str, password: Secret | None) -> None:
    transport = kind(sudo_login(moods[mood], password))
    shown = transport.run("cat; echo $BECAME; cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '").out
    assert shown.startswith("root\n")
    assert PASSWORD.reveal() not in shown
    big = "x" * 200_000
    assert transport.run(f"v='{big}'; echo ${{#v}}").out == "200000\n"
    lines: list[str] = []
    transport.run("echo one; echo two", on_line=lines.append)
    assert lines == ["one", "two"]
    assert transport.run("exit 5").rc == 5
    transport.close()
    assert not [path for path in moods[mood].folder.iterdir() if path.name.startswith("tmp.")]


@pytest.mark.parametrize(
    ("mood", "password", "hint"),
    [
        ("asks", None, "sudo asks for a password there: give it by --ask-become-pass or as become.password"),
        ("asks", Secret("a wrong one"), "sudo refuses the password: correct become.password"),
        ("requiretty", PASSWORD, "sudo wants a terminal there: let this account go without"),
        ("requiretty", None, "sudo wants a terminal there: let this account go without"),
        ("refuses", PASSWORD, "This account may not use sudo there"),
    ],
)
def test_what_sudo_has_against_it(
    kind: Kind, moods: dict[str, Sshd], mood: str, password: Secret | None, hint: str, tmp_path: Path
) -> None:
    server = moods[mood]
    found = said(kind(sudo_login(server, password)), f"touch {tmp_path / 'ran'}")
    assert found.startswith(f"{server.address} lets us in, but not become root. {hint}")
    assert not (tmp_path / "ran").exists()
    assert "a wrong one" not in found
