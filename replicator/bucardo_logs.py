"""Where lines of the log go besides the log file, in an install that has Bucardo's habits, and how they look there.

Syslog where the system has one (`syslog_facility`), `warning_file` for warnings and errors, and the file of
`start --debugfile`. Their form follows `log_showpid`, `log_showtime` and `log_showline`.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping
from logging.handlers import SysLogHandler, WatchedFileHandler
from pathlib import Path

from replicator.habits import Habits
from replicator.logs import blank, log

DEVICE = Path("/dev/log")
FACILITIES = SysLogHandler.facility_names


class BucardoForm(logging.Formatter):
    """`(pid) [time] SYNC #line message`, each part by its setting."""

    def __init__(self, habits: Habits, process: str) -> None:
        super().__init__()
        self._habits = habits
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        habits = self._habits
        parts = [
            f"({os.getpid()})" if habits["log_showpid"] == "1" else "",
            shown_time(habits["log_showtime"], record.created),
            "MCP" if self._process == "master" else self._process,
            f"#{record.filename}:{record.lineno}" if habits["log_showline"] == "1" else "",
            "" if record.levelno < logging.WARNING else f"{record.levelname}:",
            blank(record.getMessage()),
        ]
        return " ".join(part for part in parts if part)


def shown_time(how: str, moment: float) -> str:
    """A time as `log_showtime` wants it; empty for 0. Pure, but for the local time zone."""
    if how == "1":
        return f"[{int(moment)}]"
    if how in ("2", "3"):
        return f"[{time.strftime('%a %b %d %H:%M:%S %Y', (time.gmtime if how == '2' else time.localtime)(moment))}]"
    return ""


def follow(habits: Habits, process: str, switches: Mapping[str, str]) -> None:
    """Write by these settings from now on; switches: options of `start`."""
    if not habits:
        return
    for handler in [handler for handler in log.handlers if isinstance(handler.formatter, BucardoForm)]:
        log.removeHandler(handler)
        handler.close()
    for handler in _handlers(habits, switches):
        handler.setFormatter(BucardoForm(habits, process))
        log.addHandler(handler)


def _handlers(habits: Habits, switches: Mapping[str, str]) -> list[logging.Handler]:
    found: list[logging.Handler] = []
    try:
        if habits["warning_file"]:
            habits.piddir.mkdir(parents=True, exist_ok=True)
            found.append(WatchedFileHandler(habits.file("warning_file")))
            found[-1].setLevel(logging.WARNING)
        if switches.get("debugfile") == "1":
            found.append(WatchedFileHandler(debug_file(switches)))
        if switches.get("debugsyslog", "1") == "1" and DEVICE.exists():
            facility = FACILITIES.get(habits["syslog_facility"].lower().removeprefix("log_"), SysLogHandler.LOG_LOCAL1)
            found.append(SysLogHandler(str(DEVICE), facility=facility))
    except OSError as error:
        log.warning("not everything is logged where it should be: %s", error)
    return found


def debug_file(switches: Mapping[str, str]) -> Path:
    """The file of `--debugfile`: log.bucardo, with `--debugname` behind it, in `--debugdir`."""
    name = switches.get("debugname", "")
    return Path(switches.get("debugdir", "/tmp")) / ("log.bucardo" + (f".{name}" if name else ""))  # noqa: S108
