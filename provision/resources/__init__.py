"""What a host should have: frozen desired states that ask, compare, and yield changes. They never act.

`plan` is pure, so each kind is tested as a table of facts and expected changes. `steps` carries changes out.
"""

from provision.resources.absence import AccountGone, Former, Gone, Halted
from provision.resources.accounts import Account
from provision.resources.base import Resource
from provision.resources.clock import Clock
from provision.resources.clones import NetworkCards
from provision.resources.daemons import Daemon, NoDaemon, Timer
from provision.resources.databases import Database
from provision.resources.datadir import DataDirectory, Room
from provision.resources.environment import Environment, Interpreter, OnlyCurrent
from provision.resources.files import Directory, File
from provision.resources.firewall import Firewall, Opening
from provision.resources.hostname import Hostname
from provision.resources.hosts_file import HostsFile
from provision.resources.modules import Module
from provision.resources.packages import NoPackages, Packages, Updates, WholePackages
from provision.resources.pgbench import PgbenchTables
from provision.resources.programs import Programs
from provision.resources.repositories import RepositoryOptions, TrustedKey
from provision.resources.rights import ParameterGrant, ReplicationRights
from provision.resources.roles import Role
from provision.resources.selinux import DataLabel, PortLabel
from provision.resources.service import Applied, Running
from provision.resources.units import Unit, UnitOptions

__all__ = [
    "Account",
    "AccountGone",
    "Applied",
    "Clock",
    "Daemon",
    "DataDirectory",
    "DataLabel",
    "Database",
    "Directory",
    "Environment",
    "File",
    "Firewall",
    "Former",
    "Gone",
    "Halted",
    "Hostname",
    "HostsFile",
    "Interpreter",
    "Module",
    "NetworkCards",
    "NoDaemon",
    "NoPackages",
    "OnlyCurrent",
    "Opening",
    "Packages",
    "ParameterGrant",
    "PgbenchTables",
    "PortLabel",
    "Programs",
    "ReplicationRights",
    "RepositoryOptions",
    "Resource",
    "Role",
    "Room",
    "Running",
    "Timer",
    "TrustedKey",
    "Unit",
    "UnitOptions",
    "Updates",
    "WholePackages",
]
