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
from replicator.postgres import Connection, fetch_one


def replace_different(
    connection: Connection, link: Link, stage: Stage, where: sql.Composable, *, careful: bool = False
) -> Counts:
    """Make the target's rows for which `where` holds (of `t`) what is staged. careful: set refused rows aside."""
    (deleted,) = fetch_one(connection, _delete_surplus_and_equal(stage, where))
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


def _judged(stage: Stage, where: sql.Composable) -> sql.Composed:
    """Both sides' rows: judged(id, part, here, sides). sides: 2 if the other side has an equal one, each counted once.

    Sorted, not joined: nothing is known of how many rows `where` chooses, and a join that is planned for a few takes
    hours for many.
    """
    target = sql.SQL(", ").join(sql.SQL("t.{}").format(sql.Identifier(name)) for name in stage.names)
    staged = sql.SQL(", ").join(stage.value(name) for name in stage.names)
    return sql.SQL(
        "with rows as (select t.ctid as id, t.tableoid as part, true as here, md5(row({})::text)::uuid as v"
        " from {} t where {} union all select s.ctid, null, false, md5(row({})::text)::uuid from {} s),"
        " numbered as (select id, part, here, v, row_number() over (partition by v, here) as n from rows),"
        " judged as (select id, part, here, count(*) over (partition by v, n) as sides from numbered)"
    ).format(target, stage.relation.rows, where, staged, stage.table)


def _delete_surplus_and_equal(stage: Stage, where: sql.Composable) -> sql.Composed:
    """Delete from the target what it has too many, and from the stage what it has; gives how many the first are.

    One statement: to read, digest and sort both sides is nearly all that a comparison costs.
    """
    # By arrays of places, which every version looks up row by row; a place alone says nothing of the partition.
    return sql.SQL(
        "{judged}, surplus as (delete from {target} t where t.ctid = any(array(select id from judged"
        " where here and sides = 1)) and (t.tableoid::text, t.ctid::text) in (select part::text, id::text from judged"
        " where here and sides = 1) returning 1), equal as (delete from {stage} s where s.ctid ="
        " any(array(select id from judged where not here and sides = 2))) select count(*) from surplus"
    ).format(judged=_judged(stage, where), target=stage.relation.rows, stage=stage.table)
