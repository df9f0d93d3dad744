"""What a host is like: probes that ask, typed facts that answer, one round trip for all of them.

`gather` joins the probes of a host in one script. "Not there" is a value of a fact; an error never becomes one.
"""

from provision.facts.gathering import Facts, NotYet, gather
from provision.facts.paths import PathFact, digest_of, free_space, look_at, text_of
from provision.facts.probe import AnyProbe, Probe, Query
from provision.facts.server import Server, ServerFact, ServerState, postmaster
from provision.facts.traits import TRAITS, KeptTraits, Traits

__all__ = [
    "TRAITS",
    "AnyProbe",
    "Facts",
    "KeptTraits",
    "NotYet",
    "PathFact",
    "Probe",
    "Query",
    "Server",
    "ServerFact",
    "ServerState",
    "Traits",
    "digest_of",
    "free_space",
    "gather",
    "look_at",
    "postmaster",
    "text_of",
]
