"""`replicator add`: declare databases, dbgroups, herds, tables, sequences and syncs, after a look at the servers."""

from __future__ import annotations

from typing import Annotated

import typer

from replicator import validate
from replicator.cli import hooks, passwords
from replicator.cli.objects import converge, given, named, tell, with_new, with_value
from replicator.cli.session import Session
from replicator.cli.tables import chosen, every, extended
from replicator.cli.values import duration, members, names, own_strategies, pairs
from replicator.cli.words import Nouns, Words
from replicator.errors import UsageError
from replicator.model import (
    Capture,
    CopyMethod,
    Database,
    DbGroup,
    Ddl,
    Herd,
    Numbers,
    OneTimeCopy,
    Strategy,
    Sync,
    SyncType,
    TableName,
)

add = typer.Typer(cls=Nouns, rich_markup_mode=None, help="Add a database, dbgroup, herd, table, sequence or sync.")

Name = Annotated[str, typer.Argument(metavar="NAME")]
Databases = Annotated[
    list[str], typer.Argument(metavar="DB[:ROLE]...", help="Databases, by their nicknames; ROLE: source or target.")
]
Dbname = Annotated[str | None, typer.Option(help="The database's name on its server.")]
Host = Annotated[str | None, typer.Option(help="Host name, address or socket folder.")]
Port = Annotated[int | None, typer.Option(help="Port.")]
User = Annotated[str | None, typer.Option(help="Role that connects.")]
Options = Annotated[list[str] | None, typer.Option("--option", metavar="KEY=VALUE", help="Further libpq parameter.")]
Password = Annotated[
    bool, typer.Option("--password-prompt", "-W", help="Ask for a password; it goes into the passfile.")
]
PasswordStdin = Annotated[bool, typer.Option("--password-stdin", help="Read the password from standard input.")]
Forbidden = Annotated[str | None, typer.Option("--password", hidden=True)]
Active = Annotated[bool | None, typer.Option("--active/--no-active", help="Whether syncs use it.")]
Captured = Annotated[
    Capture | None,
    typer.Option("--capture", help="How changes of its tables are captured, where syncs read it."),
]
Check = Annotated[bool, typer.Option("--check/--no-check", help="Whether to connect to it first.")]
InHerd = Annotated[str, typer.Option("--herd", help="The herd to add to.")]
Relations = Annotated[
    list[str], typer.Argument(metavar="NAME...", help="schema.name, name, or a pattern: 'pgbench_*'.")
]
Members = Annotated[list[str] | None, typer.Argument(metavar="[TABLE]...", help="Tables, by name or pattern.")]
On = Annotated[str, typer.Option("--db", help="The database that it lives on.")]
All = Annotated[bool, typer.Option("--all", help="All tables of the database.")]
Exclude = Annotated[list[str] | None, typer.Option("--exclude", "-T", metavar="PATTERN", help="Leave these out.")]
Only = Annotated[list[str] | None, typer.Option("--table", "-t", metavar="PATTERN", help="These only.")]
Sequences = Annotated[bool, typer.Option("--sequences", help="All sequences of the database too.")]

Type = Annotated[SyncType, typer.Option(help="How it moves rows.")]
Source = Annotated[str, typer.Option(metavar="HERD", help="The herd that it moves.")]
Targets = Annotated[
    list[str], typer.Option("--target", metavar="NAME", help="Database or dbgroup to write to; repeat.")
]
Conflict = Annotated[
    str,
    typer.Option(
        metavar="STRATEGY",
        help="Who wins a conflict of a swap: latest, source, target, random, skip, abort, databases in order"
        " (a,b), sql:FUNCTION or python:MODULE:FUNCTION.",
    ),
]
OwnConflict = Annotated[
    list[str] | None,
    typer.Option("--table-strategy", metavar="TABLE=STRATEGY", help="Another strategy for one table; repeat."),
]
Counters = Annotated[
    list[str] | None,
    typer.Option("--counter", metavar="COLUMN", help="A column, or table.column, that concurrent changes add up in."),
]
Shared = Annotated[
    Numbers,
    typer.Option(
        "--sequences",
        help="How masters of a swap come by different numbers: each increments its sequences by the step, or none.",
    ),
]
SequenceStep = Annotated[int, typer.Option(metavar="N", help="How many masters may share the numbers: a power of two.")]
MakeDelta = Annotated[bool, typer.Option("--makedelta/--no-makedelta", help="Let what it writes flow onward.")]
CheckTime = Annotated[str | None, typer.Option(metavar="TIME", help="Run at least that often: 30s, 5m, 1h.")]
Once = Annotated[OneTimeCopy, typer.Option(help="Whether the next run begins with a whole copy.")]
Method = Annotated[CopyMethod, typer.Option(help="How a whole copy replaces what is there.")]
NewColumns = Annotated[Ddl, typer.Option(help="Which changes of the source's tables it makes on its targets.")]
AutoKick = Annotated[bool, typer.Option("--autokick/--no-autokick", help="Run when the source has changed.")]
Paused = Annotated[bool, typer.Option("--paused/--no-paused", help="Declare it off.")]


add.command("hook", cls=Words)(hooks.add_hook)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.add_typer(add, name="add")


def refuse_password(text: str | None) -> None:
    """Passwords on a command line can be read by everyone on the machine."""
    if text is not None:
        raise UsageError(
            "a password on the command line can be read by others; use --password-stdin or --password-prompt."
        )


def ask_password(database: Database, *, prompt: bool, stdin: bool) -> str | None:
    """The password that was typed or piped, if any."""
    if stdin:
        return passwords.read_line()
    return str(typer.prompt(f"Password of {database.user} on {database}", hide_input=True)) if prompt else None


@add.command("db", cls=Words)
def add_db(
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
    nickname: Annotated[str | None, typer.Option("--name", hidden=True)] = None,
) -> None:
    """Add a database under the nickname NAME, once it has answered.

    Unless told otherwise its name is NAME, on the local socket, port 5432, the role is bucardo, and changes of its
    tables are captured by triggers.
    """
    session: Session = context.obj
    refuse_password(password)
    fields = given(host=host, port=port, user=user, active=active, capture=capture)
    database = Database(name=nickname or name, dbname=dbname or name, options=pairs(option or ()), **fields)
    desired = with_new(session.catalog.topology(), database)
    secret = ask_password(database, prompt=password_prompt, stdin=password_stdin)
    with passwords.kept(session.config, database, secret):
        if check and database.active:
            validate.check(desired, session.connector, ())
            validate.answer([database], session.connector, tell)
        converge(session, desired)


@add.command("dbgroup", cls=Words)
def add_dbgroup(context: typer.Context, name: Name, databases: Databases) -> None:
    """Add a named list of databases, for use as a target.

    In a swap a member is a master (DB:source, or no role) or a slave (DB:target).
    """
    session: Session = context.obj
    listed, roles = members(databases)
    group = DbGroup(name=name, members=listed, roles=roles)
    converge(session, with_new(session.catalog.topology(), group))


@add.command("herd", cls=Words)
def add_herd(
    context: typer.Context,
    name: Name,
    db: On,
    tables: Members = None,
    all_: All = False,
    exclude: Exclude = None,
    sequences: Sequences = False,
) -> None:
    """Add a named list of tables that are replicated together."""
    session: Session = context.obj
    current = session.catalog.topology()
    database = named(current.databases, "database", db)
    if all_ and tables:
        raise UsageError("name tables or say --all, not both.")
    if exclude and not all_:
        raise UsageError("--exclude goes with --all.")
    found: tuple[TableName, ...] = ()
    if all_:
        found = every(session.connector, database, exclude=exclude or ())
    elif tables:
        found = chosen(session.connector, database, tables)
    more = every(session.connector, database, kind="sequence", exclude=exclude or ()) if sequences else ()
    converge(session, with_new(current, Herd(name=name, database=db, tables=found, sequences=more)))
    _list(found, more)


def _list(*kinds: tuple[TableName, ...]) -> None:
    for name in (name for some in kinds for name in some):
        typer.echo(f"  {name}")


@add.command("table", cls=Words)
def add_table(context: typer.Context, tables: Relations, herd: InHerd) -> None:
    """Add tables to a herd; its syncs copy them and follow them from then on."""
    _extend(context.obj, herd, "table", tables)


@add.command("sequence", cls=Words)
def add_sequence(context: typer.Context, sequences: Relations, herd: InHerd) -> None:
    """Add sequences to a herd."""
    _extend(context.obj, herd, "sequence", sequences)


def _extend(session: Session, name: str, kind: str, words: list[str]) -> None:
    current = session.catalog.topology()
    herd: Herd = named(current.herds, "herd", name)
    found = chosen(session.connector, current.databases[herd.database], words, kind=kind)
    converge(session, with_value(current, extended(herd, kind, found)))


@add.command("all", cls=Words)
def add_all(
    context: typer.Context,
    what: Annotated[str, typer.Argument(metavar="tables|sequences")],
    db: On,
    herd: InHerd,
    only: Only = None,
    exclude: Exclude = None,
) -> None:
    """Add all tables, or all sequences, of a database to a herd, which is made if there is none of that name."""
    session: Session = context.obj
    kind = what.removesuffix("s")
    if kind not in ("table", "sequence"):
        raise UsageError(f"add all what? {what!r} is neither tables nor sequences.")
    current = session.catalog.topology()
    target = current.herds.get(herd, Herd(name=herd, database=db))
    if target.database != db:
        raise UsageError(f"herd {herd} is of database {target.database}, not of {db}.")
    database = named(current.databases, "database", db)
    found = every(session.connector, database, kind=kind, only=only or (), exclude=exclude or ())
    if not found:
        raise UsageError(f"{db}: there are no such {what}.")
    converge(session, with_value(current, extended(target, kind, found)))


@add.command("sync", cls=Words)
def add_sync(
    context: typer.Context,
    name: Name,
    type: Type,
    source: Source,
    target: Targets,
    strategy: Conflict = Strategy.LATEST,
    table_strategy: OwnConflict = None,
    counter: Counters = None,
    sequences: Shared = Numbers.INTERLEAVE,
    sequence_step: SequenceStep = 16,
    makedelta: MakeDelta = False,
    checktime: CheckTime = None,
    onetimecopy: Once = OneTimeCopy.EMPTY,
    copymethod: Method = CopyMethod.DIFF,
    ddl: NewColumns = Ddl.NONE,
    autokick: AutoKick = True,
    paused: Paused = False,
) -> None:
    """Add a sync: it moves a herd to databases and dbgroups, from the moment on that the daemon runs."""
    session: Session = context.obj
    sync = Sync(
        name=name,
        type=type,
        herd=source,
        targets=names(target),
        strategy=strategy,
        strategies=tuple((table, own) for table, own in own_strategies(table_strategy or ()) if own),
        counters=tuple(counter or ()),
        sequences=sequences,
        sequence_step=sequence_step,
        makedelta=makedelta,
        ddl=ddl,
        checktime=duration(checktime) if checktime else None,
        onetimecopy=onetimecopy,
        copymethod=copymethod,
        autokick=autokick,
        paused=paused,
    )
    converge(session, with_new(session.catalog.topology(), sync))
