"""`replicator update`: change what is declared; the daemon follows without being restarted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum
from typing import Annotated

import typer

from replicator import validate
from replicator.cli import hooks, passwords
from replicator.cli.add import (
    Active,
    Captured,
    Check,
    Databases,
    Dbname,
    Forbidden,
    Host,
    Name,
    Options,
    Password,
    PasswordStdin,
    Port,
    User,
    ask_password,
    refuse_password,
)
from replicator.cli.objects import converge, given, named, tell, with_value
from replicator.cli.session import Session
from replicator.cli.tables import chosen, extended, reduced
from replicator.cli.values import duration, members, names, own_strategies, pairs, table_names
from replicator.cli.words import Nouns, Words
from replicator.errors import UsageError
from replicator.model import CopyMethod, DbGroup, Ddl, Herd, Numbers, OneTimeCopy, Sync, SyncType
from replicator.topology.members import with_lead, with_members, without_members

update = typer.Typer(cls=Nouns, rich_markup_mode=None, help="Change a database, dbgroup, herd or sync.")


class Verb(StrEnum):
    """What to do with members."""

    ADD = "add"
    REMOVE = "remove"


MemberVerb = Annotated[Verb, typer.Argument(metavar="add|remove")]
OptionalVerb = Annotated[Verb | None, typer.Argument(metavar="[add|remove]")]
Tables = Annotated[list[str] | None, typer.Argument(metavar="[TABLE]...", help="Tables, by name or pattern.")]
On = Annotated[str | None, typer.Option("--db", help="The database that it lives on.")]

Type = Annotated[SyncType | None, typer.Option(help="How it moves rows.")]
Source = Annotated[str | None, typer.Option(metavar="HERD", help="The herd that it moves.")]
Targets = Annotated[list[str] | None, typer.Option("--target", metavar="NAME", help="All that it writes to; repeat.")]
Conflict = Annotated[
    str | None, typer.Option(metavar="STRATEGY", help="Who wins a conflict of a swap; see `add sync`.")
]
OwnConflict = Annotated[
    list[str] | None,
    typer.Option("--table-strategy", metavar="TABLE=STRATEGY", help="Another strategy for one table; TABLE= for none."),
]
Counters = Annotated[
    list[str] | None,
    typer.Option("--counter", metavar="COLUMN", help="All columns that concurrent changes add up in; '' for none."),
]
Shared = Annotated[
    Numbers | None, typer.Option("--sequences", help="How masters of a swap come by different numbers; see `add sync`.")
]
SequenceStep = Annotated[
    int | None, typer.Option(metavar="N", help="How many masters may share the numbers: a power of two.")
]
MakeDelta = Annotated[bool | None, typer.Option("--makedelta/--no-makedelta", help="Let what it writes flow onward.")]
CheckTime = Annotated[str | None, typer.Option(metavar="TIME", help="Run at least that often: 30s, 5m, 1h, none.")]
Once = Annotated[OneTimeCopy | None, typer.Option(help="Whether the next run begins with a whole copy.")]
NewColumns = Annotated[Ddl | None, typer.Option(help="Which changes of the source's tables it makes on its targets.")]
Method = Annotated[CopyMethod | None, typer.Option(help="How a whole copy replaces what is there.")]
AutoKick = Annotated[bool | None, typer.Option("--autokick/--no-autokick", help="Run when the source has changed.")]
Paused = Annotated[bool | None, typer.Option("--paused/--no-paused", help="Declare it off.")]


update.command("hook", cls=Words)(hooks.update_hook)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.add_typer(update, name="update")


@update.command("db", cls=Words)
def update_db(
    context: typer.Context,
    name: Name,
    dbname: Dbname = None,
    host: Host = None,
    port: Port = None,
    user: User = None,
    option: Options = None,
    password: Forbidden = None,
    password_prompt: Password = False,
    password_stdin: PasswordStdin = False,
    active: Active = None,
    capture: Captured = None,
    check: Check = True,
) -> None:
    """Change where a database is, who connects and how its changes are captured.

    An option that is set to nothing (KEY=) is removed.
    """
    session: Session = context.obj
    refuse_password(password)
    current = session.catalog.topology()
    database = named(current.databases, "database", name)
    database = replace(
        database,
        options=merged(database.options, pairs(option or ())),
        **given(dbname=dbname, host=host, port=port, user=user, active=active, capture=capture),
    )
    desired = with_value(current, database)
    secret = ask_password(database, prompt=password_prompt, stdin=password_stdin)
    with passwords.kept(session.config, database, secret):
        if check and database.active:
            validate.check(desired, session.connector, ())
            validate.answer([database], session.connector, tell)
        converge(session, desired)
    if secret is not None:
        typer.echo("The password is in the password file.")


def merged(options: Mapping[str, str], changes: Mapping[str, str]) -> dict[str, str]:
    """The options with changes made; an empty value removes one. Pure."""
    return {key: value for key, value in {**options, **changes}.items() if value}


@update.command("dbgroup", cls=Words)
def update_dbgroup(context: typer.Context, name: Name, verb: MemberVerb, databases: Databases) -> None:
    """Add databases to a dbgroup, give members another role, or remove them from it."""
    session: Session = context.obj
    current = session.catalog.topology()
    group: DbGroup = named(current.dbgroups, "dbgroup", name)
    wanted, roles = members(databases)
    if verb is Verb.ADD:
        group = with_members(group, wanted, roles)
    else:
        for member in wanted:
            named({m: m for m in group.members}, f"member of dbgroup {name}", member)
        group = without_members(group, wanted)
    converge(session, with_value(current, group))


@update.command("herd", cls=Words)
def update_herd(
    context: typer.Context, name: Name, verb: OptionalVerb = None, tables: Tables = None, db: On = None
) -> None:
    """Add tables to a herd or remove them from it, or move it to another database: another lead of its swaps."""
    session: Session = context.obj
    current = session.catalog.topology()
    herd: Herd = named(current.herds, "herd", name)
    if verb is None and db is None:
        raise UsageError("say what to change: `add TABLE...`, `remove TABLE...` or --db.")
    if (verb is None) != (not tables):
        raise UsageError("name the tables to add or to remove.")
    herd = replace(herd, **given(database=db))
    if verb is Verb.ADD:
        database = named(current.databases, "database", herd.database)
        herd = extended(herd, "table", chosen(session.connector, database, tables or []))
    elif verb is Verb.REMOVE:
        herd = reduced(herd, "table", table_names(tables or []))
    converge(session, with_lead(current, herd))


@update.command("sync", cls=Words)
def update_sync(
    context: typer.Context,
    name: Name,
    type: Type = None,
    source: Source = None,
    target: Targets = None,
    strategy: Conflict = None,
    table_strategy: OwnConflict = None,
    counter: Counters = None,
    sequences: Shared = None,
    sequence_step: SequenceStep = None,
    makedelta: MakeDelta = None,
    checktime: CheckTime = None,
    onetimecopy: Once = None,
    copymethod: Method = None,
    ddl: NewColumns = None,
    autokick: AutoKick = None,
    paused: Paused = None,
) -> None:
    """Change a sync; what is not named stays as it is."""
    session: Session = context.obj
    current = session.catalog.topology()
    sync: Sync = named(current.syncs, "sync", name)
    fields = given(
        type=type,
        herd=source,
        targets=names(target) if target else None,
        strategy=strategy,
        sequences=sequences,
        sequence_step=sequence_step,
        makedelta=makedelta,
        onetimecopy=onetimecopy,
        copymethod=copymethod,
        ddl=ddl,
        autokick=autokick,
        paused=paused,
    )
    if table_strategy is not None:
        own = dict(sync.strategies) | dict(own_strategies(table_strategy))
        fields["strategies"] = tuple(sorted((table, text) for table, text in own.items() if text))
    if counter is not None:
        fields["counters"] = tuple(filter(None, counter))
    if checktime is not None:
        fields["checktime"] = duration(checktime)
    converge(session, with_value(current, replace(sync, **fields)))
