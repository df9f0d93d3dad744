"""Makes a table, or a key range of it, equal to what is staged by writing only the rows that differ.

Rows are compared as whole values in their text form, each as often as it occurs, so a table needs no key: what the
target has too many is deleted, what it lacks is inserted. A changed row is one of each.
"""

from __future__ import annotations

from psycopg import sql

from replicator.apply.sift import sift
from replicator.apply.stage import Stage
from replicator.apply.write import REFUSALS
from replicator.change import Counts
from replicator.model import Link
from replicator.postgres import Connection


def replace_different(
    connection: Connection, link: Link, stage: Stage, where: sql.Composable, *, careful: bool = False
) -> Counts:
    """Make the target's rows for which `where` holds (of `t`) what is staged. careful: set refused rows aside."""
    deleted = connection.execute(_delete_surplus(stage, where)).rowcount
    connection.execute(_forget_equal(stage, where))
    if not careful:
        inserted = connection.execute(stage.insert).rowcount
        return Counts(inserted=inserted, deleted=deleted)
    return insert_carefully(connection, link, stage) + Counts(deleted=deleted)


def insert_carefully(connection: Connection, link: Link, stage: Stage) -> Counts:
    """Insert what is staged; rows that the target refuses are parked."""
    try:
        with connection.transaction():
            return Counts(inserted=connection.execute(stage.insert).rowcount)
    except REFUSALS:
        return sift(connection, link, stage)


def _numbered(stage: Stage, where: sql.Composable) -> sql.Composed:
    """Both sides' rows with the place of each among its equals: theirs(id, part, v, n) and ours(id, v, n)."""
    target = sql.SQL(", ").join(sql.SQL("t.{}").format(sql.Identifier(name)) for name in stage.names)
    staged = sql.SQL(", ").join(stage.value(name) for name in stage.names)
    return sql.SQL(
        "with theirs as (select id, part, v, row_number() over (partition by v) as n from"
        " (select t.ctid as id, t.tableoid as part, md5(row({})::text) as v from {} t where {}) x),"
        " ours as (select id, v, row_number() over (partition by v) as n from"
        " (select s.ctid as id, md5(row({})::text) as v from {} s) x)"
    ).format(target, stage.relation.rows, where, staged, stage.table)


def _delete_surplus(stage: Stage, where: sql.Composable) -> sql.Composed:
    return sql.SQL(
        "{} delete from {} t using theirs where t.ctid = theirs.id and t.tableoid = theirs.part"
        " and not exists (select from ours where ours.v = theirs.v and ours.n = theirs.n)"
    ).format(_numbered(stage, where), stage.relation.rows)


def _forget_equal(stage: Stage, where: sql.Composable) -> sql.Composed:
    return sql.SQL(
        "{} delete from {} s using ours where s.ctid = ours.id"
        " and exists (select from theirs where theirs.v = ours.v and theirs.n = ours.n)"
    ).format(_numbered(stage, where), stage.table)
