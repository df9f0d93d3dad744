"""Whether a function that is to decide conflicts can be asked at all: found before anything depends on it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

from psycopg.rows import TupleRow

from replicator.apply.resolver import LOAD_SECONDS
from replicator.model import TableName
from replicator.postgres import Connection

WANTED = "(jsonb, jsonb, jsonb)"

NAMESAKES = """
select p.proargtypes::text = array_to_string(array_fill('jsonb'::regtype::oid, array[3]), ' '),
       pg_get_function_identity_arguments(p.oid),
       format_type(p.prorettype, null),
       not p.proretset and (t.typtype = 'c' or p.proallargtypes is not null
           or p.prorettype in ('text'::regtype, 'varchar'::regtype, 'json'::regtype, 'jsonb'::regtype)),
       coalesce(to_jsonb(p) ->> 'prokind', case when (to_jsonb(p) ->> 'proisagg')::boolean then 'a' else 'f' end) = 'f',
       has_schema_privilege(n.oid, 'USAGE') and has_function_privilege(p.oid, 'EXECUTE')
from pg_proc p join pg_namespace n on n.oid = p.pronamespace left join pg_type t on t.oid = p.prorettype
where n.nspname = %s and p.proname = %s order by 1 desc, 2
"""


def sql_fault(connection: Connection, function: str) -> str:
    """Why an SQL function cannot decide conflicts on that server, and what to do; empty when it can."""
    try:
        name = TableName.parse(function)
    except ValueError:
        return f"{function!r} is not the name of a function; write sql:schema.function"
    found = connection.execute(NAMESAKES, [name.schema, name.name]).fetchall()
    if not found:
        return f"there is no function {name}; create {name}{WANTED}, or correct the name"
    return _fault(connection, name, found)


def _fault(connection: Connection, name: TableName, found: Sequence[TupleRow]) -> str:
    fits, arguments, returned, answers, plain, allowed = found[0]
    if not fits:
        return f"function {name} takes ({arguments}), and must take {WANTED}; correct it"
    if not plain or not answers:
        return f"function {name} returns {returned}, and must return one text, jsonb or row; correct it"
    if not allowed:
        role = connection.info.user
        return f'role {role} may not call function {name}; grant "{role}" execute on it, and usage on its schema'
    return ""


def python_fault(place: str, function: str) -> str:
    """Why a Python function cannot decide conflicts, and what to do; empty when it can."""
    why = load_fault("replicator.apply.judge", place, function)
    return why and f"{why}; correct it"


def load_fault(program: str, place: str, function: str) -> str:
    """Why a process that calls a function cannot load it; empty when it can. program: as a module; 0 seconds: load."""
    command = [sys.executable, "-m", program, place, function, "0"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LOAD_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return f"it does not load within {LOAD_SECONDS:g} seconds"
    lines = done.stderr.strip().splitlines()
    return "" if done.returncode == 0 else (lines[-1] if lines else "it does not load")
