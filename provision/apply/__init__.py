"""Carries plans out: every host in a thread of its own, then the replicator, then the proof.

A `Run` says what a command is about; `deploy`, `survey` and `prove` are generators over it: they do their work while
they are iterated over, and yield what happens. A host that fails stops what depends on it and nothing else.
"""

from provision.apply.deploying import deploy
from provision.apply.proving import PROOF, prove
from provision.apply.run import MACHINE, Run
from provision.apply.stop import Stop
from provision.apply.surveying import survey

__all__ = ["MACHINE", "PROOF", "Run", "Stop", "deploy", "prove", "survey"]
