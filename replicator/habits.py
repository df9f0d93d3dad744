"""The 40 settings of Bucardo 4.5: names, defaults, what each does here, and those with an effect as values.

`bucardo_ctl set` stores them in the catalog, the daemon reads them there. An install has habits once any is stored,
which `bucardo_ctl install` does: its processes then carry Bucardo's names, and its files lie in `piddir`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from replicator.errors import UsageError
from replicator.model import Ddl

NOBODY = "nobody@example.com"
VERSION = "4.5.0"
"""The version of Bucardo whose commands and formats are spoken."""

NOTHING = ""


@dataclass(frozen=True)
class Setting:
    """default: its value unless set. effect: what it does here; empty: nothing. form: the values that it takes."""

    default: str
    effect: str = NOTHING
    form: str = r".*"


_NUMBER, _COUNT, _SWITCH = r"\d+(\.\d+)?", r"\d+", r"[01]"

SETTINGS: Mapping[str, Setting] = {
    "audit_pid": Setting("0"),
    "autosync_ddl": Setting("newcol", "newcol: a column added on a source is added on the targets", r"(newcol|none)?"),
    "bucardo_current_version": Setting(VERSION),
    "bucardo_version": Setting(VERSION),
    "ctl_checkabortedkids_time": Setting("30", form=_NUMBER),
    "ctl_checkonkids_time": Setting("10", form=_NUMBER),
    "ctl_createkid_time": Setting("0.5", form=_NUMBER),
    "ctl_nothingfound_sleep": Setting("0.2", "seconds between looks at a source where nothing happens", _NUMBER),
    "ctl_pingtime": Setting("600", form=_NUMBER),
    "default_email_from": Setting(NOBODY, "the sender of mails"),
    "default_email_host": Setting("localhost", "the SMTP server that mails are handed to, host or host:port"),
    "default_email_to": Setting(NOBODY, f"who is told of starts, stops and errors; nobody while it is {NOBODY}"),
    "email_debug_file": Setting("", "a file that every mail is written to as well"),
    "endsync_sleep": Setting("1.0", form=_NUMBER),
    "host_safety_check": Setting("", "a pattern that the host's name must match, or the daemon does not start"),
    "kid_abort_limit": Setting("3", form=_COUNT),
    "kid_abort_sleep": Setting("1", "seconds until a run that failed is tried again for the first time", _NUMBER),
    "kid_nodeltarows_sleep": Setting("0.8", form=_NUMBER),
    "kid_nothingfound_sleep": Setting("0.3", form=_NUMBER),
    "kid_pingtime": Setting("60", form=_NUMBER),
    "kid_serial_sleep": Setting("10", "at most so many seconds between attempts while locks stand in the way", _NUMBER),
    "log_conflict_details": Setting("0", "1: conflicts are written to log_conflict_file", _SWITCH),
    "log_conflict_file": Setting("bucardo_conflict.log", "the file of log_conflict_details"),
    "log_showline": Setting("0", "1: log lines name the line of the program", _SWITCH),
    "log_showpid": Setting("0", "1: log lines name the process", _SWITCH),
    "log_showtime": Setting("3", "the time in log lines: 0 none, 1 seconds since 1970, 2 UTC, 3 local", r"[0-3]"),
    "max_delete_clause": Setting("200", form=_COUNT),
    "max_select_clause": Setting("500", form=_COUNT),
    "mcp_dbproblem_sleep": Setting("15", "at most so many seconds until an unreachable server is tried again", _NUMBER),
    "mcp_loop_sleep": Setting("1", "seconds between looks of the daemon at its files", _NUMBER),
    "mcp_pingtime": Setting("60", form=_NUMBER),
    "piddir": Setting("/var/run/bucardo", "where pid files, stop file and reason file lie", r"/.*"),
    "reason_file": Setting(
        "bucardo.restart.reason.log", "why it was last started or stopped; .log is added for all", r".+"
    ),
    "stats_script_url": Setting("http://www.bucardo.org/"),
    "stopfile": Setting("fullstopbucardo", "the daemon ends while this file is there", r".+"),
    "syslog_facility": Setting("LOG_LOCAL1", "the facility of what goes to syslog", r"(?i)(LOG_)?[A-Z]+[0-7]?"),
    "tcp_keepalives_count": Setting("0", "unanswered keepalives after which a connection is lost; 0: 3", _COUNT),
    "tcp_keepalives_idle": Setting("0", "seconds of silence before the first keepalive; 0: 10", _COUNT),
    "tcp_keepalives_interval": Setting("0", "seconds between keepalives; 0: 5", _COUNT),
    "warning_file": Setting("bucardo.warning.log", "a file that warnings and errors are written to as well"),
}


@dataclass(frozen=True)
class Rhythm:
    """How often links look and try again, in seconds. late: the longest pause between two looks at a quiet source."""

    late: float = 0.2
    first_retry: float = 0.2
    last_retry: float = 10.0
    last_contended: float = 2.0


@dataclass(frozen=True)
class Habits:
    """The settings of one install; stored: those that were set. Off while none was.

    run_dir: what `piddir` is unless it was set: the folder of an install that `bucardo_ctl` has not made.
    """

    stored: Mapping[str, str] = field(default_factory=dict)
    run_dir: Path | None = None

    def __bool__(self) -> bool:
        return bool(self.stored)

    def __getitem__(self, name: str) -> str:
        if name == "piddir" and name not in self.stored and self.run_dir:
            return str(self.run_dir)
        return self.stored.get(name, SETTINGS[name].default)

    def __contains__(self, name: str) -> bool:
        return name in self.stored

    def number(self, name: str) -> float:
        """A setting that is a number."""
        return float(self[name])

    @property
    def piddir(self) -> Path:
        """Where the files lie."""
        return Path(self["piddir"])

    def file(self, name: str) -> Path:
        """The file that a setting names, in `piddir` unless it is a whole path."""
        return self.piddir / self[name]

    @property
    def master_pid(self) -> Path:
        """The daemon's pid file."""
        return self.piddir / "bucardo.mcp.pid"

    def controller_pid(self, sync: str) -> Path:
        """The pid file of a sync's controller."""
        return self.piddir / f"bucardo.ctl.sync.{sync}.pid"

    def kid_pid(self, sync: str, target: str) -> Path:
        """The pid file of whoever serves one target of a sync."""
        return self.piddir / f"bucardo.kid.sync.{sync}.{target}.pid"

    @property
    def rhythm(self) -> Rhythm:
        """Times that were not set are our own: Bucardo's defaults were made for another machinery."""
        own = Rhythm()
        names = {
            "late": "ctl_nothingfound_sleep",
            "first_retry": "kid_abort_sleep",
            "last_retry": "mcp_dbproblem_sleep",
            "last_contended": "kid_serial_sleep",
        }
        return Rhythm(**{key: self.number(name) if name in self else getattr(own, key) for key, name in names.items()})

    @property
    def ddl(self) -> Ddl:
        """What syncs do about changed definitions."""
        return Ddl.NEWCOL if self["autosync_ddl"] == "newcol" else Ddl.NONE

    @property
    def keepalives(self) -> dict[str, str]:
        """libpq's parameters for connections."""
        names = {key: f"tcp_keepalives_{key.removeprefix('keepalives_')}" for key in _KEEPALIVES}
        return {key: self[name] for key, name in names.items() if self[name] != "0"}


_KEEPALIVES = ("keepalives_count", "keepalives_idle", "keepalives_interval")


def checked(name: str, value: str) -> str:
    """The setting's name as it is stored, if it takes the value. Raises UsageError saying what it takes."""
    lower = name.lower()
    setting = SETTINGS.get(lower)
    if setting is None:
        raise UsageError(f"Unknown setting: {name}")
    if lower == "bucardo_version":
        raise UsageError('The setting "bucardo_version" cannot be changed: it tells which Bucardo is spoken')
    if not re.fullmatch(setting.form, value):
        raise UsageError(f'Invalid value for "{lower}": {value!r}{_hint(setting)}')
    if lower == "host_safety_check":
        _compiled(value)
    return lower


def _hint(setting: Setting) -> str:
    forms = {_NUMBER: "a number of seconds", _COUNT: "a whole number", _SWITCH: "0 or 1"}
    forms[SETTINGS["autosync_ddl"].form] = "newcol or none"
    return f", expected {forms[setting.form]}" if setting.form in forms else f", expected {setting.effect}"


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise UsageError(f'Invalid value for "host_safety_check": {error}') from error


def suits_host(habits: Habits, host: str) -> bool:
    """Whether the daemon may run on a host of that name."""
    pattern = habits["host_safety_check"]
    return not pattern or bool(re.search(pattern, host))
