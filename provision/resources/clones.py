"""What a machine that was cloned from another on EL 6 still believes of its network cards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from provision.change import Change
from provision.facts import AnyProbe, Facts, Probe

RULES = "/etc/udev/rules.d/70-persistent-net.rules"

ASK = rf"""
macs=$(cat /sys/class/net/*/address 2>/dev/null | tr A-F a-f)
there() {{ printf '%s\n' "$macs" | grep -qxF "$(echo "$1" | tr A-F a-f)"; }}
if [ -f {RULES} ]; then
  for m in $(sed -n 's/^[^#].*ATTR{{address}}=="\([^"]*\)".*/\1/p' {RULES}); do
    if ! there "$m"; then echo "{RULES} $m"; fi
  done
fi
for f in /etc/sysconfig/network-scripts/ifcfg-*; do
  [ -f "$f" ] || continue
  m=$(sed -n 's/^HWADDR=["'\'']\{{0,1\}}\([0-9A-Fa-f:]*\).*/\1/p' "$f" | head -n 1)
  if [ -n "$m" ] && ! there "$m"; then echo "$f $m"; fi
done
"""

MEND = rf"""
for f in $files; do
  case $f in
    {RULES}) mv -f $f $f.previous || exit 1 ;;
    *) sed -i '/^HWADDR=/d' "$f" || exit 1 ;;
  esac
done
"""


def _lines(text: str) -> tuple[str, ...]:
    return tuple(text.splitlines())


@dataclass(frozen=True)
class NetworkCards:
    """No file that speaks of network cards which the machine does not have. udev writes its own anew at the next boot;
    until then the cards keep their present names."""

    @property
    def name(self) -> str:
        """See `Resource.name`."""
        return "network cards"

    @property
    def _foreign(self) -> Probe[tuple[str, ...]]:
        return Probe(ASK, _lines, ())

    def probes(self) -> Sequence[AnyProbe[Any]]:
        """See `Resource.probes`."""
        return (self._foreign,)

    def plan(self, facts: Facts) -> list[Change]:
        """See `Resource.plan`."""
        found = facts[self._foreign]
        if not found:
            return []
        files = tuple(dict.fromkeys(line.partition(" ")[0] for line in found))
        script = f"files='{' '.join(files)}'\n{MEND}"
        return [
            Change(
                summary=f"forget another machine's cards in {', '.join(files)}", script=script, before="\n".join(found)
            )
        ]
