"""Notes conflicts in the ledger of the node that decides them, with all images, before the loser is gone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psycopg import sql

from replicator.apply.arrival import Arrival, local_json
from replicator.apply.rival import Verdict


def note(arrival: Arrival, verdicts: Sequence[Verdict]) -> None:
    """Note them: staged rows are still in their places, and as they arrived."""
    if not verdicts:
        return
    link, stage = arrival.link, arrival.stage
    nodes: list[Any] = [arrival.names.get(v.rival.local.version.node) for v in verdicts]
    arrival.execute(
        "insert into {ledger} (sync, schema_name, table_name, key, source, incoming_op, incoming_at, incoming_row,"
        " local_op, local_at, local_row, incoming_wins, rule, local_node, merged_row)"
        " select {sync}, {schema}, {table_name}, {key}, {source}, s.op, s.at, case when not s.gone then {row} end,"
        " case when s.local_op = '+' then 'U' else s.local_op end, d.local_at,"
        " case when t.{first} is not null then {local} end, d.wins, d.rule, nullif(d.node, {target}),"
        " d.merged::jsonb"
        " from unnest({ids}::text[], {times}::timestamptz[], {wins}::boolean[], {rules}::text[], {nodes}::text[],"
        " {merged}::text[]) d(id, local_at, wins, rule, node, merged)"
        " join {stage} s on s.ctid = d.id::tid left join {table} t on {match}",
        ledger=sql.Identifier(link.install.schema, "conflict"),
        sync=sql.Literal(link.sync.name),
        schema=sql.Literal(stage.relation.name.schema),
        table_name=sql.Literal(stage.relation.name.name),
        key=stage.key_json,
        source=sql.Literal(link.source.name),
        target=sql.Literal(link.target.name),
        row=stage.row_json,
        first=sql.Identifier(stage.relation.key[0]),
        local=local_json(stage),
        ids=sql.Literal([verdict.rival.id for verdict in verdicts]),
        times=sql.Literal([verdict.rival.local.version.at for verdict in verdicts]),
        wins=sql.Literal([verdict.incoming_wins for verdict in verdicts]),
        rules=sql.Literal([verdict.rule for verdict in verdicts]),
        nodes=sql.Literal(nodes),
        merged=sql.Literal([verdict.merged for verdict in verdicts]),
    )
