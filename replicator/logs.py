"""The daemon's log file: one line form for all its processes, rotated by the master, read back by `replicator log`.

A line is a time with its zone, a level, the process (`master` or the name of a sync) and the message; lines of a
traceback follow indented. What is worth a line is decided by who writes it.
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections import deque
from collections.abc import Iterable, Iterator
from datetime import datetime
from logging.handlers import RotatingFileHandler, WatchedFileHandler
from pathlib import Path
from typing import TextIO

from replicator.errors import ConfigError

ROTATE_AT = 10 * 1024 * 1024
KEPT = 5
FORMAT = "%(asctime)s %(levelname)-7s %(process_name)s: %(message)s"
JOURNAL_FORMAT = "%(process_name)s: %(message)s"
SYSLOG = ((logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
HEAD = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d [A-Z]+ +(?P<process>\w+): (?P<message>.*)")
SECRET = re.compile(r"""(password\s*[=:]\s*)('[^']*'|"[^"]*"|[^\s'"]+)|(://[^:/@\s]+:)[^@\s]+(?=@)""", re.IGNORECASE)

log = logging.getLogger("pgherd")


class Form(logging.Formatter):
    """Formats a record; whatever looks like a password is blanked, wherever the text came from."""

    def __init__(self, process: str) -> None:
        super().__init__(FORMAT, defaults={"process_name": process})

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802, ARG002
        """Local time with milliseconds and the offset from UTC."""
        return datetime.fromtimestamp(record.created).astimezone().isoformat(sep=" ", timespec="milliseconds")

    def format(self, record: logging.LogRecord) -> str:
        """The line, and indented lines for what does not fit into one."""
        return blank(super().format(record)).replace("\n", "\n    ")


class JournalForm(Form):
    """For the journal: it has its own times, and takes a level before each line."""

    def __init__(self, process: str) -> None:
        super().__init__(process)
        self._style = logging.PercentStyle(JOURNAL_FORMAT, defaults={"process_name": process})

    def format(self, record: logging.LogRecord) -> str:
        """The line, and indented lines for what does not fit into one."""
        level = next((number for least, number in SYSLOG if record.levelno >= least), 7)
        return f"<{level}>" + super().format(record).replace("\n", f"\n<{level}>")


def journaled() -> bool:
    """Whether standard error goes to the systemd journal."""
    try:
        found = os.fstat(2)
    except OSError:
        return False
    return os.environ.get("JOURNAL_STREAM", "") == f"{found.st_dev}:{found.st_ino}"


class Rotating(RotatingFileHandler):
    """The master's: it alone rotates the file that all write to."""

    def look_after(self) -> None:
        """Rotate the file if it is too large; begin another if it is gone."""
        self.acquire()
        try:
            path = Path(self.baseFilename)
            if not path.exists():
                self.close()
                self.stream = self._open()
            elif path.stat().st_size > ROTATE_AT:
                self.doRollover()
        finally:
            self.release()


def blank(text: str) -> str:
    """The text without passwords."""
    return SECRET.sub(lambda found: f"{found[1] or found[3]}***", text)


def set_up(path: Path, process: str, *, master: bool, echo: bool) -> None:
    """Log to a file (rotating it, in the master; following its rotation, elsewhere), and to stderr too with `echo`.

    Raises ConfigError when the file cannot be written.
    """
    handlers: list[logging.Handler] = []
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handlers.append(Rotating(path, maxBytes=ROTATE_AT, backupCount=KEPT) if master else WatchedFileHandler(path))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}.", hint="Correct log_file, or its permissions.") from error
    for handler in handlers:
        handler.setFormatter(Form(process))
    if echo:
        shown = logging.StreamHandler()
        shown.setFormatter((JournalForm if journaled() else Form)(process))
        handlers.append(shown)
    for handler in handlers:
        log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False


def look_after() -> None:
    """In the master, now and then: the children's lines make the file grow too, and others may move it away."""
    for handler in log.handlers:
        if isinstance(handler, Rotating):
            handler.look_after()


def tail(path: Path, lines: int, sync: str | None = None) -> list[str]:
    """The last lines of the log, of one sync if one is named, out of rotated files as far as needed."""
    found: deque[str] = deque()
    for file in [path, *(path.with_name(f"{path.name}.{n}") for n in range(1, KEPT + 1))]:
        if file.exists() and len(found) < lines:
            with file.open(errors="replace") as text:
                found.extendleft(reversed(deque(select(text, sync), maxlen=lines - len(found))))
    return list(found)


def select(lines: Iterable[str], sync: str | None = None) -> Iterator[str]:
    """The lines (without their ends) that a sync wrote, or that the master wrote about it; all for None."""
    wanted = sync is None
    for line in lines:
        head = HEAD.match(line)
        if head and sync is not None:
            wanted = head["process"] == sync or (head["process"] == "master" and f'sync "{sync}"' in head["message"])
        if wanted:
            yield line.rstrip("\n")


def follow(path: Path, every: float = 0.2) -> Iterator[str]:
    """Lines as they are written from this call on, over rotations, without end."""
    file = path.open(errors="replace")
    file.seek(0, os.SEEK_END)
    return _follow(path, file, every)


def _follow(path: Path, file: TextIO, every: float) -> Iterator[str]:
    part, replaced = "", False
    try:
        while True:
            read = file.readline()
            part += read
            if part.endswith("\n"):
                yield part
                part = ""
            elif replaced and not read:
                file.close()
                file = path.open(errors="replace")
                replaced = False
            elif not replaced:
                replaced = _replaced(path, file.fileno())  # if so, read on first: it may have grown until then
                if not replaced:
                    time.sleep(every)
    finally:
        file.close()


def _replaced(path: Path, fd: int) -> bool:
    try:
        return path.stat().st_ino != os.fstat(fd).st_ino
    except FileNotFoundError:
        return False
