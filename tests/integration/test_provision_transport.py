"""The contract of transports, on each of them: this machine's shell, Fabric and the ssh program on a real sshd."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from provision.errors import HostFailed, Unreachable
from provision.inventory import HostKeys
from provision.transport import Local, Transport
from provision.transport.login import Login
from provision.transport.openssh import OpenSSH
from provision.transport.ssh import SSH
from tests.fixtures import sshd
from tests.fixtures.sshd import Sshd

Kind = type[SSH] | type[OpenSSH]


def test_output_errors_and_exit_code_come_back_as_they_were(transport: Transport) -> None:
    result = transport.run("printf 'one\\ntwo'; echo oops >&2; exit 7")
    assert (result.rc, result.out, result.err) == (7, "one\ntwo", "oops\n")
    assert transport.run("true").out == ""
    assert transport.run("echo").out == "\n"


def test_many_scripts_one_after_the_other(transport: Transport) -> None:
    assert [transport.run(f"echo {i}").out for i in range(5)] == [f"{i}\n" for i in range(5)]


def test_scripts_of_any_size_both_ways(transport: Transport) -> None:
    text = "x" * 300_000
    assert transport.run(f'v=\'{text}\'; printf %s "$v"; printf %s "$v" >&2').out == text
    assert transport.run("cat <<'end'\n" + "line\n" * 50_000 + "end\n").out == "line\n" * 50_000


def test_a_large_script_says_how_far_it_is(transport: Transport) -> None:
    seen: list[tuple[int, int]] = []
    lines = "line\n" * 100_000
    shown = transport.run(f"cat <<'end'\n{lines}end\numask; pwd; cat", on_sent=lambda sent, of: seen.append((sent, of)))
    assert shown.out == f"{lines}0077\n/\n"
    assert len(seen) > 5 and seen[-1][0] == seen[-1][1] > len(lines)
    with pytest.raises(HostFailed, match="ended early"):
        transport.run(f"echo begun\nif true; then\n: {'x' * 300_000}")


def test_scripts_begin_alike_everywhere(transport: Transport, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", "elsewhere")
    shown = transport.run("echo $LC_ALL $(umask) $PWD ${PGHOST:-none}; cat; echo end").out
    assert shown.split() == ["C", "0077", "/", "none", "end"]


def test_signs_of_every_kind_survive(transport: Transport) -> None:
    text = "$HOME `id` \"double\" 'single' \\ back ! # % ü € 漢"
    assert transport.run(f"cat <<'end'\n{text}\nend\n").out == text + "\n"


def test_the_script_stands_in_no_process_list(transport: Transport) -> None:
    secret = f"secret-{time.monotonic_ns()}"
    shown = transport.run(f": {secret}; cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n'").out
    assert "sh" in shown
    assert secret not in shown


def test_half_a_script_does_not_run(transport: Transport, tmp_path: Path) -> None:
    witness = tmp_path / "ran"
    with pytest.raises(HostFailed, match="ended early"):
        transport.run(f"touch {witness}\nif true; then\n  echo unfinished")
    assert not witness.exists()


def test_a_shell_that_dies_is_an_error_not_an_empty_answer(transport: Transport) -> None:
    with pytest.raises((HostFailed, Unreachable)):
        transport.run("echo begun; kill -9 $$")


def test_output_cannot_forge_the_end(transport: Transport) -> None:
    assert transport.run("echo '@0123456789abcdef01234567 0'; exit 3").rc == 3


def test_lines_come_while_the_script_runs(transport: Transport, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    seen: list[str] = []

    def see(line: str) -> None:
        seen.append(line)
        gate.touch()

    result = transport.run(
        f"echo first; while [ ! -e {gate} ]; do sleep 0.05; done; echo second", on_line=see, timeout=30
    )
    assert seen == ["first", "second"]
    assert result.out == "first\nsecond\n"


def test_time_runs_out(transport: Transport) -> None:
    began = time.monotonic()
    with pytest.raises(HostFailed, match=r"no answer within 0\.5 s"):
        transport.run("sleep 60", timeout=0.5)
    assert time.monotonic() - began < 10
    assert transport.run("echo again").out == "again\n", "the transport is still of use"


def test_a_running_script_can_be_ended_from_another_thread(transport: Transport) -> None:
    started = threading.Event()
    caught: list[Exception] = []

    def run() -> None:
        try:
            transport.run("echo begun; sleep 60", on_line=lambda _: started.set())
        except (HostFailed, Unreachable) as error:
            caught.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    assert started.wait(20)
    transport.kill()
    thread.join(20)
    assert caught and not thread.is_alive()
    transport.kill()


def test_a_listener_that_raises_ends_the_script(transport: Transport) -> None:
    def refuse(_line: str) -> None:
        raise ValueError("enough")

    with pytest.raises(ValueError, match="enough"):
        transport.run("echo begun; sleep 60", on_line=refuse)


def test_another_account(transport: Transport) -> None:
    if os.geteuid() != 0:
        assert transport.run("id -u", as_user="root").rc != 0, "only root can be somebody else"
        return
    result = transport.run("id -un; pwd; cat; exit 4", as_user="nobody")
    assert (result.rc, result.out) == (4, "nobody\n/\n")


def test_closing_twice_is_fine(transport: Transport) -> None:
    transport.run("true")
    transport.close()
    transport.close()


@pytest.mark.parametrize("kind", [SSH, OpenSSH])
class TestLogins:
    """What only connections over a network have."""

    def test_an_unknown_host_key_is_refused(
        self,
        kind: Kind,
        login: Login,
        host: Sshd,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        strict = replace(login, config=_config(host, tmp_path, known=""))
        with pytest.raises(Unreachable, match="known_hosts"):
            kind(strict).run("true")

    def test_a_changed_host_key_is_refused_even_where_new_ones_are_not(
        self, kind: Kind, login: Login, host: Sshd, tmp_path: Path
    ) -> None:
        other = (host.folder / "user_key.pub").read_text().split()[:2]
        known = f"[{sshd.ADDRESS}]:{host.port} {' '.join(other)}\n"
        changed = replace(login, config=_config(host, tmp_path, known=known), host_keys=HostKeys.ACCEPT_NEW)
        with pytest.raises(Unreachable, match="known_hosts"):
            kind(changed).run("true")

    def test_nobody_listens(self, kind: Kind, login: Login) -> None:
        with pytest.raises(Unreachable, match=r"Is it up, and the address right\?"):
            kind(replace(login, port=1)).run("true")

    def test_a_login_that_is_refused(self, kind: Kind, login: Login, host: Sshd, tmp_path: Path) -> None:
        config = tmp_path / "ssh_config"
        config.write_text(host.config.read_text().replace("user_key", "host_key"))
        with pytest.raises(Unreachable, match=r"refuses the login"):
            kind(replace(login, config=config)).run("true")


def test_new_keys_are_kept_when_that_is_allowed(login: Login, host: Sshd, tmp_path: Path) -> None:
    config = _config(host, tmp_path, known="")
    transport = SSH(replace(login, config=config, host_keys=HostKeys.ACCEPT_NEW))
    assert transport.run("echo in").out == "in\n"
    transport.close()
    assert str(host.port) in (tmp_path / "known_hosts").read_text()


def test_openssh_keeps_one_connection(
    login: Login, host: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    before = host.log.count("Accepted publickey")
    transport = OpenSSH(login)
    for _ in range(3):
        transport.run("true")
    transport.close()
    assert host.log.count("Accepted publickey") == before + 1


def test_the_lock_is_in_the_hands_of_the_script(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        shown = Local(descriptor).run("ls -l /proc/self/fd/9; (exec 9>&-; ls /proc/self/fd/9 2>&1)").out
    finally:
        os.close(descriptor)
    assert str(path) in shown and "No such file" in shown


def _config(host: Sshd, folder: Path, known: str) -> Path:
    (folder / "known_hosts").write_text(known)
    text = host.config.read_text().replace(str(host.known_hosts), str(folder / "known_hosts"))
    (folder / "config").write_text(text)
    return folder / "config"
