"""The hand-over to the replicator: its settings, its catalog, the declared topology, its daemon, and the proof.

The one place of `provision` that imports `replicator`. It works from the control machine, once the hosts are as
declared, over connections to the databases: straight ones, or through SSH (`reach`).
"""

from __future__ import annotations

from provision.tasks.replication.daemons import pid_here, stop_here
from provision.tasks.replication.handover import Handover
from provision.tasks.replication.proof import Proof, prove
from provision.tasks.replication.rebuild import Rebuild
from provision.tasks.replication.report import summary
from provision.tasks.replication.settings import Settings
from provision.tasks.replication.settling import settled

__all__ = [
    "Handover",
    "Proof",
    "Rebuild",
    "Settings",
    "pid_here",
    "prove",
    "settled",
    "stop_here",
    "summary",
]
