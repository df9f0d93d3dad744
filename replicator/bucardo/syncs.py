"""Bucardo's options of syncs: which of them act, how values are read, how a sync reads in its columns. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from replicator.cli.values import duration
from replicator.errors import UsageError
from replicator.model import CopyMethod, OneTimeCopy, Sync

YES, NO = ("1", "yes", "y", "on", "true", "t"), ("0", "no", "n", "off", "false", "f", "")

COPIES = {"0": OneTimeCopy.OFF, "1": OneTimeCopy.ALWAYS, "2": OneTimeCopy.EMPTY}
METHODS = {
    "delete": CopyMethod.DELETE,
    "truncate": CopyMethod.TRUNCATE,
    "truncate_cascade": CopyMethod.TRUNCATE,
    "diff": CopyMethod.DIFF,
}

IDLE = {
    **dict.fromkeys(("stayalive", "kidsalive", "analyze_after_copy"), "yes"),
    **dict.fromkeys(("do_listen", "usecustomselect", "strict_checking", "ghost", "track_rates"), "no"),
    **dict.fromkeys(("rebuild_index", "limitdbs", "priority", "maxkicks"), "0"),
    **dict.fromkeys(("overdue", "expired"), "00:00:00"),
    **dict.fromkeys(("copyextra", "copytype", "txnmode", "lifetime", "precommand", "postcommand"), ""),
    **dict.fromkeys(("delta_bypass", "delta_bypass_min", "delta_bypass_count", "delta_bypass_percent"), ""),
    **dict.fromkeys(("customselect", "herdname"), ""),
}
"""Options that are kept and shown; their defaults."""

SHOWN = ("overdue", "expired")
"""Those of them that `status` heeds."""

ACTING = ("checktime", "deletemethod", "makedelta", "onetimecopy", "ping", "standard_conflict", "status", "autokick")
WHERE = ("name", "source", "targetdb", "targetgroup", "tables", "type", "synctype", "db")
BOOLEAN = ("stayalive", "kidsalive", "analyze_after_copy", "do_listen", "usecustomselect", "strict_checking", "ghost")
COUNTS = ("rebuild_index", "limitdbs", "priority", "maxkicks")
TIMES = ("overdue", "expired", "lifetime")


def split(pairs: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    """What acts, as fields of a `Sync` (standard_conflict as `strategy`), and what is kept. Raises UsageError."""
    if unknown := sorted(pairs.keys() - {*ACTING, *WHERE, *IDLE}):
        raise UsageError(f'Unknown option for a sync: "{unknown[0]}". See `bucardo_ctl help add sync`.')
    fields: dict[str, Any] = {}
    for name in pairs.keys() & set(ACTING):
        fields.update(_field(name, pairs[name].strip()))
    return fields, {name: kept(name, pairs[name].strip()) for name in sorted(pairs.keys() & IDLE.keys())}


def _field(name: str, value: str) -> dict[str, Any]:
    readers: dict[str, Callable[[], tuple[str, Any]]] = {
        "checktime": lambda: ("checktime", duration(value)),
        "makedelta": lambda: ("makedelta", boolean(name, value)),
        "ping": lambda: ("autokick", boolean(name, value)),
        "autokick": lambda: ("autokick", boolean(name, value)),
        "status": lambda: ("paused", _one_of(name, value, {"active": False, "inactive": True})),
        "onetimecopy": lambda: ("onetimecopy", _one_of(name, value, COPIES)),
        "deletemethod": lambda: ("copymethod", _one_of(name, value, METHODS)),
        "standard_conflict": lambda: ("strategy", value),
    }
    return dict([readers[name]()])


def boolean(name: str, value: str) -> bool:
    """A yes or no. Raises UsageError."""
    if value.lower() in (*YES, *NO):
        return value.lower() in YES
    raise UsageError(f'Invalid value for {name}: "{value}" (yes or no expected)')


def _one_of(name: str, value: str, meanings: Mapping[str, Any]) -> Any:
    if value.lower() not in meanings:
        raise UsageError(f'Invalid value for {name}: "{value}" (one of {", ".join(meanings)} expected)')
    return meanings[value.lower()]


def kept(name: str, value: str) -> str:
    """An option without effect, in the form in which it is shown. Raises UsageError for what 4.5 would refuse."""
    if name in BOOLEAN:
        return "yes" if boolean(name, value) else "no"
    if name in COUNTS and not value.isdigit():
        raise UsageError(f'Invalid value for {name}: "{value}" (a number expected)')
    return clock(duration(value)) if name in TIMES and value else value


def clock(time: timedelta | None) -> str:
    """A duration as PostgreSQL prints an interval of less than a day. Pure."""
    seconds = int(time.total_seconds()) if time else 0
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


def as_columns(sync: Sync, kept_options: Mapping[str, str]) -> dict[str, str | None]:
    """A sync in Bucardo's columns."""
    back = {copy: number for number, copy in COPIES.items()}
    return {
        **IDLE,
        **kept_options,
        "checktime": clock(sync.checktime) if sync.checktime else None,
        "deletemethod": str(sync.copymethod),
        "makedelta": "yes" if sync.makedelta else "no",
        "name": sync.name,
        "onetimecopy": back[sync.onetimecopy],
        "ping": "yes" if sync.autokick else "no",
        "source": sync.herd,
        "status": "inactive" if sync.paused else "active",
        "synctype": str(sync.type),
        "target": ",".join(sync.targets),
    }
