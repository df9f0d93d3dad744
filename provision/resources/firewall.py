"""Openings in a host's firewall: in firewalld where it runs, else in iptables where it filters, else in none.

A firewall is never switched off or on, and what others have opened is left alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from provision.change import Change
from provision.facts import AnyProbe, Facts, Probe
from provision.transport import quote

COMMENT = "pgherd"
EVERYWHERE = ("0.0.0.0/0", "::/0")


@dataclass(frozen=True, kw_only=True)
class Opening:
    """A port that is open to some. sources: networks, as 10.11.12.242/32."""

    port: int
    protocol: str = "tcp"
    sources: tuple[str, ...]

    @property
    def label(self) -> str:
        """What people call it."""
        return f"{self.port}/{self.protocol}"


@dataclass(frozen=True)
class FirewallFact:
    """kind: "firewalld", "iptables", or "" for none. rules: what it has, as it writes them.

    kept: those that are there after a boot; firewalld has them apart from those in force.
    """

    kind: str = ""
    rules: frozenset[str] = frozenset()
    kept: frozenset[str] = frozenset()


def _parse(text: str) -> FirewallFact:
    lines = text.splitlines()
    kind = lines[0] if lines else ""
    rules = frozenset(line.partition(" ")[2].strip() for line in lines[1:] if line.startswith("now "))
    kept = frozenset(line.partition(" ")[2].strip() for line in lines[1:] if line.startswith("kept "))
    return FirewallFact(kind, rules, kept)


ASK = rf"""
if command -v firewall-cmd >/dev/null 2>&1 && systemctl -q is-active firewalld; then
  echo firewalld
  now=$(firewall-cmd --list-rich-rules) && kept=$(firewall-cmd --permanent --list-rich-rules) || exit 1
  printf '%s\n' "$now" | sed '/^$/d; s/^/now /'
  printf '%s\n' "$kept" | sed '/^$/d; s/^/kept /'
elif [ "$(id -u)" = 0 ] && command -v iptables >/dev/null 2>&1 &&
     {{ [ -e /etc/sysconfig/iptables ] || [ -e /etc/sysconfig/ip6tables ]; }}; then
  # Only its own service keeps rules over a boot, so without a file of that nobody counts on iptables here.
  rules=$(iptables -S INPUT 2>/dev/null) || rules=
  case $rules in
    *'-j REJECT'*|*'-j DROP'*|*'-P INPUT DROP'*)
      echo iptables
      for t in iptables ip6tables; do
        ! command -v $t >/dev/null 2>&1 || $t -S INPUT 2>/dev/null |
          grep -- '--comment "*{COMMENT}"* ' | tr -d '"' | sed "s/^/now $t /"
      done ;;
  esac
fi
true
"""


@dataclass(frozen=True)
class Firewall:
    """A firewall that lets in what is declared."""

    openings: tuple[Opening, ...]

    @property
    def name(self) -> str:
        """See `Resource.name`."""
        return f"firewall: {', '.join(opening.label for opening in self.openings)}"

    @property
    def _state(self) -> Probe[FirewallFact]:
        return Probe(ASK, _parse, FirewallFact())

    def probes(self) -> Sequence[AnyProbe[Any]]:
        """See `Resource.probes`."""
        return (self._state,)

    def plan(self, facts: Facts) -> list[Change]:
        """See `Resource.plan`."""
        found = facts[self._state]
        if found.kind == "firewalld":
            return self._firewalld(found)
        if found.kind == "iptables":
            return self._iptables(found)
        return []

    def _firewalld(self, found: FirewallFact) -> list[Change]:
        wanted = {rich_rule(opening, source): opening for opening in self.openings for source in opening.sources}
        lines = [
            f"firewall-cmd -q{option} --add-rich-rule={quote(rule)} || exit 1\n"
            for option, there in ((" --permanent", found.kept), ("", found.rules))
            for rule in wanted
            if rule not in there
        ]
        missing = {wanted[rule].label: 0 for rule in wanted if rule not in found.kept & found.rules}
        rules = "\n".join(rule for rule in wanted if rule not in found.kept & found.rules)
        summary = f"open {', '.join(missing)} in firewalld"
        return [Change(summary=summary, script="".join(lines), after=rules)] if lines else []

    def _iptables(self, found: FirewallFact) -> list[Change]:
        wanted = [table_rule(opening, source) for opening in self.openings for source in opening.sources]
        new = [rule for rule in dict.fromkeys(wanted) if rule not in found.rules]
        old = sorted(found.rules.difference(wanted))
        if not new and not old:
            return []
        changes = [_command(rule, "-D") for rule in old] + [_command(rule, "-I") for rule in new]
        script = "".join(f"{command} || exit 1\n" for command in changes) + SAVE
        labels = ", ".join(opening.label for opening in self.openings)
        return [
            Change(summary=f"open {labels} in iptables", script=script, before="\n".join(old), after="\n".join(new))
        ]


def rich_rule(opening: Opening, source: str) -> str:
    """A rule as firewalld lists it."""
    family = "ipv6" if ":" in source else "ipv4"
    origin = "" if source in EVERYWHERE else f' source address="{source}"'
    return f'rule family="{family}"{origin} port port="{opening.port}" protocol="{opening.protocol}" accept'


def table_rule(opening: Opening, source: str) -> str:
    """A rule with its table, as iptables lists it."""
    table = "ip6tables" if ":" in source else "iptables"
    origin = "" if source in EVERYWHERE else f"-s {source} "
    match = f"-p {opening.protocol} -m {opening.protocol} --dport {opening.port}"
    return f"{table} -A INPUT {origin}{match} -m comment --comment {COMMENT} -j ACCEPT"


def _command(rule: str, verb: str) -> str:
    """What adds (before all that refuses) or removes a rule."""
    return rule.replace(" -A ", f" {verb} ", 1)


SAVE = """\
for t in iptables ip6tables; do
  [ -e /etc/sysconfig/$t ] || continue
  if [ -x /etc/init.d/$t ]; then service $t save >/dev/null || exit 1
  else $t-save >/etc/sysconfig/$t || exit 1; fi
done
"""
