"""Whether a host's clock is in step with its time servers. Known, shown, and never a reason to do anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from provision.change import Change
from provision.facts import AnyProbe, Facts, Probe

CHRONY = """\
if ! command -v chronyc >/dev/null 2>&1; then echo 'no chrony yet'; exit 0; fi
chronyc -n tracking 2>/dev/null | awk -F' *: ' '
  /^Reference ID/ { id = $2 } /^Leap status/ { leap = $2 } /^System time/ { off = $2 }
  END { if (leap == "") print "chronyd does not answer"
        else if (leap == "Not synchronised") print "not synchronised"
        else print "synchronised with " id ", " off }'
"""
NTPD = """\
if ! command -v ntpstat >/dev/null 2>&1; then echo 'no ntpd yet'; exit 0; fi
ntpstat 2>&1 | head -n 1; true
"""


@dataclass(frozen=True)
class Clock:
    """The clock of a host."""

    unit: str

    @property
    def name(self) -> str:
        """See `Resource.name`."""
        return "clock"

    def probes(self) -> Sequence[AnyProbe[Any]]:
        """See `Resource.probes`."""
        return (Probe(CHRONY if self.unit == "chronyd" else NTPD, str.strip, "not known"),)

    def plan(self, facts: Facts) -> list[Change]:  # noqa: ARG002
        """See `Resource.plan`."""
        return []
