"""What the doctor says."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from provision.errors import HostFailed, Unreachable


class Verdict(StrEnum):
    """How something is."""

    OK = "ok"
    NOTE = "note"  # to be known; it stops nothing
    BAD = "bad"  # a deploy would stop at it
    AWAY = "away"  # the host cannot be reached, or not entered


@dataclass(frozen=True)
class Finding:
    """place: a host, or this machine; check: what was looked at; said: what was found; hint: what to do about it."""

    place: str
    check: str
    verdict: Verdict
    said: str
    hint: str = ""


def exit_code(findings: Iterable[Finding]) -> int:
    """The exit code: a host that cannot be reached hides what else is wrong with it."""
    verdicts = {finding.verdict for finding in findings}
    if Verdict.AWAY in verdicts:
        return Unreachable.exit_code
    return HostFailed.exit_code if Verdict.BAD in verdicts else 0
