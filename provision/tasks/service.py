"""The replicator as a service of a host: where everything of it is there, and what its files say. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property

from provision.inventory import ReplicationSettings
from provision.secrets import PassEntry, passfile
from provision.tasks import tls
from provision.tasks.node import Site

UNIT = "pgherd-replicator"
ACCOUNT = "pgherd"
HOME = "/var/lib/pgherd"
PROGRAMS = "/opt/pgherd"
SETTINGS = "/etc/pgherd"
CONFIG = f"{SETTINGS}/replicator.toml"
PASSFILE = f"{SETTINGS}/passfile"
UNIT_FILE = f"/etc/systemd/system/{UNIT}.service"
PURGE = "pgherd-purge"
PURGE_FILES = tuple(f"/etc/systemd/system/{PURGE}.{kind}" for kind in ("service", "timer"))
HISTORY_DAYS = 7
"""How many days of runs the freezer keeps."""
COMMANDS = ("/usr/local/bin/replicator", "/usr/local/bin/bucardo_ctl")
SUDOERS = "/etc/sudoers.d/pgherd"
RUN = "/run/pgherd"
LOGS = "/var/log/pgherd"
PROGRAM = f"{PROGRAMS}/current/bin/replicator"

RULE = f"""\
# managed by pgherd provision: changes made here are replaced
%{ACCOUNT} ALL=({ACCOUNT}) NOPASSWD: {PROGRAM}, {PROGRAMS}/current/bin/bucardo_ctl
"""


def wrapper(command: str) -> str:
    """The script that stands at one of COMMANDS."""
    program = f"{PROGRAMS}/current/bin/{command.rpartition('/')[2]}"
    return f"""\
#!/bin/sh
# managed by pgherd provision: changes made here are replaced
# Whoever is neither root nor the service's account goes by sudo: members of the group {ACCOUNT} may ({SUDOERS}).
case $(id -un) in
  root|{ACCOUNT}) exec {program} "$@" ;;
  *) exec sudo -n -u {ACCOUNT} -- {program} "$@" ;;
esac
"""


def toml(text: str) -> str:
    """A text as TOML has it."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def catalog_parameters(site: Site, declared: ReplicationSettings) -> dict[str, str]:
    """Where the catalog is, as libpq's parameters."""
    host = site.inventory.host(declared.catalog.host)
    return {
        "host": host.address,
        "port": str(host.postgresql.port),
        "dbname": declared.catalog.dbname,
        "user": declared.role,
        **tls.options(site.inventory, host),
    }


def catalog_section(site: Site, declared: ReplicationSettings) -> str:
    """The part of a configuration that says where the catalog is."""
    found = catalog_parameters(site, declared).items()
    return "\n[catalog]\n" + "".join(f"{key} = {value if key == 'port' else toml(value)}\n" for key, value in found)


def warning_lines(declared: ReplicationSettings) -> str:
    """The part of a configuration that says when to warn; empty where nothing is declared."""
    behind = "" if declared.warn_behind is None else f"warn_behind = {toml(_seconds(declared.warn_behind))}\n"
    kept = "" if declared.warn_kept is None else f"warn_kept = {toml(declared.warn_kept)}\n"
    return behind + kept


def _seconds(duration: timedelta) -> str:
    return f"{max(1, round(duration.total_seconds()))}s"


@dataclass(frozen=True)
class Service:
    """What the files of a site's replicator hold, on the host that runs it."""

    site: Site
    declared: ReplicationSettings

    @cached_property
    def identity(self) -> str:
        """The lines of the configuration by which this replicator is told from another site's."""
        return f"install = {toml(self.declared.install)}\n{catalog_section(self.site, self.declared)}"

    @cached_property
    def config(self) -> str:
        """The configuration."""
        return (
            "# managed by pgherd provision: changes made here are replaced\n"
            f"install = {toml(self.declared.install)}\n"
            f"passfile = {toml(PASSFILE)}\n"
            f"run_dir = {toml(RUN)}\n"
            f"log_file = {toml(f'{LOGS}/replicator.log')}\n"
            f"unit = {toml(UNIT)}\n" + warning_lines(self.declared) + catalog_section(self.site, self.declared)
        )

    @property
    def passfile(self) -> str:
        """The replication role's password at every server, and nobody else's."""
        role, password = self.declared.role, self.site.role_password
        entries = [
            PassEntry(host=host.address, port=host.postgresql.port, database="*", user=role, password=password)
            for host in self.site.inventory.hosts
        ]
        return passfile(entries)

    @property
    def began(self) -> str:
        """The file that the daemon writes when it begins."""
        return f"{RUN}/{self.declared.install}.pid"
