"""Becoming root by sudo, with a sudo that asks, one that does not, and one that refuses: the script never meets the
password. The remote command runs in this machine's shell, as sshd would run it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from provision.secrets import Secret
from provision.transport import become
from provision.transport.framing import CutShort, Envelope

PASSWORD = Secret("open sesame; echo $HOME")

ASKS = """#!/bin/sh
# sudo -S: reads one line as the password, then runs what it was given with the rest of its standard input
case "$*" in *-n*) echo 'sudo: a password is required' >&2; exit 1;; esac
IFS= read -r given
[ "$given" = 'open sesame; echo $HOME' ] || { echo 'sudo: 1 incorrect password attempt' >&2; exit 1; }
while [ "$1" != -- ]; do shift; done; shift
exec "$@"
"""
ASKS_NOTHING = '#!/bin/sh\nwhile [ "$1" != -- ]; do shift; done; shift\nexec "$@"\n'
REFUSES = '#!/bin/sh\necho "$(id -un) is not in the sudoers file." >&2\nexit 1\n'


def answer(folder: Path, sudo: str, password: Secret | None, size: int = 0) -> tuple[str, str]:
    """Standard output of a script behind a sudo, and what its shell said; raises CutShort as a transport sees it."""
    program = folder / "sudo"
    program.write_text(sudo)
    program.chmod(0o755)
    remote, first = become.command(root=True, password=password, size=size)
    envelope = Envelope()
    script = "cat; echo ran; ls /tmp/tmp.* 2>/dev/null | wc -l"
    done = subprocess.run(
        ["sh", "-c", remote],
        input=first + envelope.wrap(script),
        env={**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert PASSWORD.reveal() not in done.stdout + done.stderr
    assert not list(folder.glob("tmp.*")), "the script does not stay on disk"
    try:
        return envelope.open(done.stdout, done.stderr).out, ""
    except CutShort:
        return "", done.stderr


@pytest.mark.parametrize(
    ("sudo", "password"),
    [(ASKS, PASSWORD), (ASKS_NOTHING, PASSWORD), (ASKS_NOTHING, None)],
    ids=["asks", "asks nothing, though a password is known", "asks nothing"],
)
def test_the_script_runs(sudo: str, password: Secret | None, tmp_path: Path) -> None:
    assert answer(tmp_path, sudo, password)[0].startswith("ran\n")


def test_a_large_script_runs_from_a_file_that_is_gone_afterwards(tmp_path: Path) -> None:
    assert answer(tmp_path, ASKS_NOTHING, None, become.LARGE + 1)[0].startswith("ran\n")


@pytest.mark.parametrize(
    ("sudo", "password", "hint"),
    [
        (ASKS, None, "sudo asks for a password there: give it by --ask-become-pass"),
        (ASKS, Secret("a wrong one"), "sudo refuses the password: correct become.password"),
        (REFUSES, PASSWORD, "This account may not use sudo there"),
    ],
    ids=["no password", "wrong password", "no sudoer"],
)
def test_what_sudo_has_against_it_is_said(sudo: str, password: Secret | None, hint: str, tmp_path: Path) -> None:
    out, err = answer(tmp_path, sudo, password)
    assert not out
    assert hint in become.why_not(err)


def test_without_sudo_nothing_stands_before_the_script() -> None:
    assert become.command(root=False, password=PASSWORD) == ("exec sh -s", "")
