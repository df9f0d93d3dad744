"""Passwords are asked for once, at a terminal, before anything is connected to; they are not echoed and not shown."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

PROVISION = str(Path(sys.executable).parent / "provision")
PASSWORD = "open sesame 4711"


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    path = tmp_path / "hosts.yml"
    path.write_text("all: {vars: {state_dir: s, become: yes}, hosts: {a: {ssh: {host: 127.0.0.1, port: 1}}}}\n")
    return path


def at_a_terminal(*words: str, typed: list[str]) -> tuple[int, str]:
    """What a command shows at a terminal at which these lines are typed, each when it asks for a password."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [PROVISION, *words],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        preexec_fn=lambda: os.login_tty(theirs),  # noqa: PLW1509 - there is but one thread here
    )
    os.close(theirs)
    shown, waiting = b"", list(typed)
    while True:
        try:
            data = os.read(ours, 4096)
        except OSError:  # the terminal has gone with its last program
            break
        shown += data
        if waiting and shown.rstrip(b" ").endswith(b":") and b"password" in shown.splitlines()[-1]:
            os.write(ours, waiting.pop(0).encode() + b"\n")
    os.close(ours)
    return process.wait(), shown.decode()


def test_both_are_asked_for_once_and_not_echoed(inventory: Path) -> None:
    code, shown = at_a_terminal("check", str(inventory), "-k", "-K", "--tags", "base", typed=[PASSWORD, PASSWORD])
    assert code == 4
    assert shown.index("SSH password: ") < shown.index("sudo password (default: the SSH password): ")
    assert shown.index("sudo password") < shown.index("cannot be reached"), "before anything is connected to"
    assert PASSWORD not in shown
    assert shown.count("password:") == 1 and shown.count("password)") == 1


def test_nothing_typed_is_no_password(inventory: Path) -> None:
    code, shown = at_a_terminal("check", str(inventory), "-K", typed=[""])
    assert code == 2 and "--ask-become-pass: nothing was typed; nothing was touched" in shown


def test_without_a_terminal_that_is_said(inventory: Path) -> None:
    done = subprocess.run(
        [PROVISION, "deploy", str(inventory), "--ask-pass"],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        check=False,
    )
    assert done.returncode == 2
    assert "--ask-pass needs a terminal to ask at, and there is none; give the password in the inventory" in done.stderr
