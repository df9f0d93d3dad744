"""Running programs: what they printed is the error when they fail."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

QUIET = {"LC_ALL": "C.UTF-8", "TERM": "dumb", "SYSTEMD_LOG_COLOR": "0", "SYSTEMD_COLORS": "0"}


class CommandFailed(Exception):
    """A program that the lab is made with failed; with the end of what it printed."""


def run(*command: object, stdin: str = "", cwd: Path | None = None, env: Mapping[str, str] | None = None) -> str:
    """Run a program to its end; its standard output. Raises CommandFailed."""
    words = [str(word) for word in command]
    done = subprocess.run(
        words,
        input=stdin,
        capture_output=True,
        text=True,
        errors="replace",
        cwd=cwd,
        env={**os.environ, **QUIET, **(env or {})},
        check=False,
    )
    if done.returncode:
        said = "\n".join((done.stdout + done.stderr).strip().splitlines()[-40:])
        raise CommandFailed(f"{' '.join(words[:6])} ... ended with {done.returncode}:\n{said}")
    return done.stdout


def write(path: Path, text: str, mode: int = 0o644) -> Path:
    """Write a file, making the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path
