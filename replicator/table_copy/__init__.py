"""Whole copies of tables: the first copy of a link, and the joining of two masters.

`ranges` cuts a table by its key, `copy` moves the ranges in parallel under one exported snapshot, `join` decides which
of two masters is copied to the other. A `fullcopy` run is a batch like others and lives in `syncrun`.
"""

from replicator.table_copy.copy import Pair, copy_tables
from replicator.table_copy.join import join

__all__ = ["Pair", "copy_tables", "join"]
