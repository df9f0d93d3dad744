"""Change logs, by triggers or from the WAL: what each node logs, how logging is set up, and how a batch is read.

`needs` says what a topology wants logged where (pure), `schema` makes the schema that holds it, `setup` makes a node
log it and takes that back: `spec` is a log as it should be, `feeding` judges one, `making` makes and `dropping` drops
one, `captured` is what a node logs then. `read` is the reading side: what it asks is composed in `look`, `changed` and
`rows`. `decoding` feeds logs from the WAL. Nothing here writes to a target.
"""

from replicator.capture.captured import Captured
from replicator.capture.delta import Delta
from replicator.capture.needs import Kind, Need, needs
from replicator.capture.read import Source
from replicator.capture.setup import can_log, ensure, release

__all__ = ["Captured", "Delta", "Kind", "Need", "Source", "can_log", "ensure", "needs", "release"]
