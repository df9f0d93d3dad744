"""Hands a password to the ssh program, which takes it from nowhere but a program of ours.

It goes through a pipe in a folder that only we can enter, and stands in no file, no environment and no process list.
"""

from __future__ import annotations

import os
import shlex
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from provision.secrets import Secret

PROMPTS = 2
"""Ssh may ask by two methods, once each."""

# Passphrases of keys and questions about host keys are not answered.
PROGRAM = (
    "#!/bin/sh\ncase $1 in *assphrase*|*yes/no*) exit 1 ;; esac\nIFS= read -r p <{pipe} && printf '%s\\n' \"$p\"\n"
)


@contextmanager
def answering(password: Secret | None, folder: Path) -> Iterator[dict[str, str]]:
    """The environment in which ssh gets the password; empty without one."""
    if password is None:
        yield {}
        return
    own = Path(tempfile.mkdtemp(dir=folder))
    try:
        pipe, program = own / "pipe", own / "askpass"
        os.mkfifo(pipe, 0o600)
        program.write_text(PROGRAM.format(pipe=shlex.quote(str(pipe))))
        program.chmod(0o700)
        # Open at both ends, so that writing does not wait for a reader that may never come.
        descriptor = os.open(pipe, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            os.write(descriptor, f"{password.reveal()}\n".encode() * PROMPTS)
            yield {"SSH_ASKPASS": str(program), "SSH_ASKPASS_REQUIRE": "force", "DISPLAY": ":0"}
        finally:
            os.close(descriptor)
    finally:
        shutil.rmtree(own, ignore_errors=True)
