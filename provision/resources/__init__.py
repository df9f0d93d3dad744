"""What a host should have: frozen desired states that ask, compare, and yield changes. They never act.

`plan` is pure, so each kind is tested as a table of facts and expected changes. `steps` carries changes out.
"""

from provision.resources.absence import AccountGone, Former, Gone, Halted
from provision.resources.accounts import Account
from provision.resources.base import Resource
from provision.resources.daemons import Daemon, NoDaemon
from provision.resources.databases import Database
from provision.resources.datadir import DataDirectory, Room
from provision.resources.environment import Environment, Interpreter, OnlyCurrent
from provision.resources.files import Directory, File
from provision.resources.pgbench import PgbenchTables
from provision.resources.programs import Programs
from provision.resources.rights import ParameterGrant, ReplicationRights
from provision.resources.roles import Role
from provision.resources.service import Applied, Running
from provision.resources.system import Hostname, NoPackages, Packages, Unit

__all__ = [
    "Account",
    "AccountGone",
    "Applied",
    "Daemon",
    "DataDirectory",
    "Database",
    "Directory",
    "Environment",
    "File",
    "Former",
    "Gone",
    "Halted",
    "Hostname",
    "Interpreter",
    "NoDaemon",
    "NoPackages",
    "OnlyCurrent",
    "Packages",
    "ParameterGrant",
    "PgbenchTables",
    "Programs",
    "ReplicationRights",
    "Resource",
    "Role",
    "Room",
    "Running",
    "Unit",
]
