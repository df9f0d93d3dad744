"""A server that runs, with the configuration that its files hold."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from provision.change import Change
from provision.facts import AnyProbe, Facts, Probe, Query, Server, ServerState
from provision.resources.base import ident
from provision.resources.datadir import server_probe
from provision.transport import quote

START_SECONDS = 60


SERVICE = """
select json_build_object(
  'version', split_part(current_setting('server_version'), ' ', 1),
  'stale', date_trunc('second', pg_conf_load_time()) < greatest(
    (pg_stat_file(current_setting('config_file'))).modification,
    (pg_stat_file(current_setting('hba_file'))).modification,
    case when current_setting('ssl')::bool then greatest(
      (pg_stat_file(current_setting('ssl_cert_file'), true)).modification,
      (pg_stat_file(current_setting('ssl_key_file'), true)).modification) end),
  'pending', (select coalesce(json_agg(name order by name), '[]') from pg_settings where pending_restart),
  'overridden', (
    select coalesce(json_agg(distinct a.name order by a.name), '[]')
    from pg_file_settings a join pg_file_settings f using (name)
    where a.sourcefile like '%/postgresql.auto.conf' and f.sourcefile = current_setting('config_file')));
"""


@dataclass(frozen=True)
class ServiceFact:
    """stale: the files (of TLS, too) are newer than what the server has read. pending: what waits for a restart.

    overridden: settings of our file that ALTER SYSTEM has set as well, and so decides. version: what runs.
    """

    version: str = ""
    stale: bool = False
    pending: tuple[str, ...] = ()
    overridden: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> ServiceFact:
        """Read what the query prints."""
        found = json.loads(text)
        return cls(found["version"], found["stale"], tuple(found["pending"]), tuple(found["overridden"]))


def service_query(server: Server) -> Query[ServiceFact]:
    """Asks whether what our files say is in force."""
    return Query(server, "postgres", SERVICE, ServiceFact.parse, ServiceFact())


def installed_version(server: Server) -> Probe[str]:
    """Asks which version the programs are; "" when there are none."""
    program = server.program("postgres")
    script = f"if command -v {program} >/dev/null; then {program} -V; fi\n"
    return Probe(script, lambda text: next(iter(text.split()[2:3]), ""), "")


@dataclass(frozen=True)
class Running:
    """A server that takes connections."""

    server: Server

    @property
    def name(self) -> str:
        """See `Resource.name`."""
        return f"server {self.server.host}:{self.server.port}"

    def probes(self) -> Sequence[AnyProbe[Any]]:
        """See `Resource.probes`."""
        return (server_probe(self.server),)

    def plan(self, facts: Facts) -> list[Change]:
        """See `Resource.plan`."""
        state = facts[server_probe(self.server)].state
        if state is ServerState.RUNNING:
            return []
        if state is ServerState.STARTING:
            return [Change(summary="wait until the server takes connections", script=wait_ready(self.server))]
        claims = (self.server.host, self.server.port) if self.server.listens else None
        return [Change(summary="start the server", script=start(self.server), claims=claims)]


@dataclass(frozen=True)
class Applied:
    """A configuration that is in force: what the files say, the running server has taken up."""

    server: Server

    @property
    def name(self) -> str:
        """See `Resource.name`."""
        return "configuration in force"

    def probes(self) -> Sequence[AnyProbe[Any]]:
        """See `Resource.probes`."""
        return (service_query(self.server), installed_version(self.server))

    def plan(self, facts: Facts) -> list[Change]:
        """See `Resource.plan`."""
        found, installed = facts[service_query(self.server)], facts[installed_version(self.server)]
        if found.overridden:
            return [self._reset(found.overridden)]
        if found.stale:
            return [Change(summary="reload the server", script=reload(self.server))]
        if found.pending:
            settings = ", ".join(found.pending)
            return [Change(summary=f"restart the server for {settings}", script=restart(self.server))]
        if found.version and installed and found.version != installed:
            summary = f"restart the server: {found.version} runs, {installed} is installed"
            return [Change(summary=summary, script=restart(self.server))]
        return []

    def _reset(self, settings: Sequence[str]) -> Change:
        """Take back what ALTER SYSTEM has set over our file."""
        script = self.server.psql("\n".join(f"alter system reset {ident(name)};" for name in settings))
        before = "\n".join(f"alter system set {name}" for name in settings)
        summary = f"let {', '.join(settings)} be as in postgresql.conf"
        return Change(summary=summary, script=script + reload(self.server), before=before)


def _control(server: Server, verb: str) -> str:
    """Start, restart or reload the server, by the system's service or by pg_ctl."""
    if server.unit and server.systemd:
        return f"systemctl {verb} {quote(server.unit)} || exit 1\n"
    if server.unit:
        wait = "" if verb == "reload" else wait_ready(server)
        return f"service {quote(server.unit)} {verb} 9>&- || exit 1\n{wait}"
    words = {
        "start": f"-w -t {START_SECONDS} -l {quote(server.log)} start",
        "restart": f"-w -t {START_SECONDS} -m fast -l {quote(server.log)} restart",
        "reload": "reload",
    }
    # The lock that the script holds must not live on in the server, so its descriptor is closed for it.
    command = f"{server.program('pg_ctl')} -s -D {quote(server.data)} {words[verb]} 9>&-"
    return server.under_account(f"{command} || exit 1")


def _tell(server: Server) -> str:
    """What a server that does not start said last."""
    last = f"tail -n 8 {quote(server.log)} | cut -c 1-300"
    if server.unit and server.systemd:
        last = f"journalctl -q --no-pager -n 8 -o cat -u {quote(server.unit)}"
    return f"{{ echo 'its last messages:'; {last}; exit 1; }}\n"


def start(server: Server) -> str:
    """A fragment that starts the server and waits for it."""
    return f"(\n{_control(server, 'start')}) >/dev/null || {_tell(server)}"


def restart(server: Server) -> str:
    """A fragment that restarts the server and waits for it."""
    return f"(\n{_control(server, 'restart')}) >/dev/null || {_tell(server)}"


def reload(server: Server) -> str:
    """A fragment that lets the server read its files again, and waits until it has."""
    ask = f"now=$({server.psql('select pg_conf_load_time();').rstrip()}\n) || exit 1\n"
    return (
        f"{ask}before=$now\n{_control(server, 'reload')}"
        f'n=0; while [ "$now" = "$before" ] && [ $n -lt 50 ]; do sleep 0.1; n=$((n + 1))\n{ask}done\n'
        '[ "$now" != "$before" ] || { echo "the server did not read its files within 5 s"; exit 1; }\n'
    )


def wait_ready(server: Server) -> str:
    """A fragment that waits for a server that is starting."""
    ready = server.ready()
    count = f"n=$((n + 1)); [ $n -lt {START_SECONDS * 5} ] || {_tell(server).rstrip()}"
    return f"n=0; until {ready}; do {count}; sleep 0.2; done\n"


def hba_errors(server: Server) -> str:
    """A fragment that fails, saying why, when a running server cannot read its pg_hba.conf."""
    ask = server.psql(
        "select format('line %s: %s', line_number, error) from pg_hba_file_rules where error is not null"
        # A rule that waits for TLS to be switched on, by the reload that comes, is read well all the same.
        " and (type is distinct from 'hostssl' or current_setting('ssl')::bool);"
    )
    return (
        f"{server.ready()} || exit 0\nbad=$(\n{ask}) || exit 1\n"
        '[ -z "$bad" ] || { printf \'%s\\n\' "$bad"; exit 1; }\n'
    )
