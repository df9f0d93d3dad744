"""`provision deploy`."""

from __future__ import annotations

from typing import Annotated

import typer

from provision.apply import Run, prove
from provision.apply import deploy as deploying
from provision.cli.asking import Asking
from provision.cli.check import examine
from provision.cli.common import (
    FORKS,
    AskBecomePass,
    AskPass,
    Command,
    Diff,
    Forks,
    InventoryFile,
    Json,
    Limit,
    ReportFile,
    Serial,
    StartAt,
    Tags,
    Verbose,
    Yes,
)
from provision.errors import Differs
from provision.inventory import runner
from provision.render import View

Check = Annotated[bool, typer.Option("--check", "-C", help="Only say what would be done, as `provision check`.")]
Proof = Annotated[
    bool | None,
    typer.Option("--proof/--no-proof", help="Write a little in any case; do not even compare.", show_default=False),
]


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def deploy(
        inventory: InventoryFile,
        limit: Limit = "",
        tags: Tags = "",
        start_at: StartAt = "",
        check: Check = False,
        diff: Diff = False,
        yes: Yes = False,  # noqa: ARG001 - accepted everywhere; deploy has nothing to ask
        json: Json = False,
        proof: Proof = None,
        forks: Forks = FORKS,
        serial: Serial = None,
        ask_pass: AskPass = False,
        ask_become_pass: AskBecomePass = False,
        report: ReportFile = None,
        verbose: Verbose = False,
    ) -> int:
        """Make everything as the inventory says, and prove that the syncs work.

        The proof compares every table on every node; if anything was changed, after a few pgbench transactions.
        """
        asking = Asking(ask_pass, ask_become_pass)
        command = Command.begin(inventory, limit, json=json, diff=diff, verbose=verbose, forks=forks, asking=asking)
        if check:
            return examine(command, command.run(tags, start_at=start_at), assume_bare=False, code=Differs.exit_code)
        command.run(tags).wanted()  # what is wrong with templates or programs comes out before anything is made
        run = command.run(tags, generate=True, start_at=start_at, serial=serial)
        command.keep_log("deploy")
        try:
            return converge(command, run, proof)
        finally:
            command.close(report, command="deploy")


def converge(command: Command, run: Run, proof: bool | None = None, shown: View | None = None) -> int:
    """Deploy, and show it. proof: whether to make one; None: yes, but writing only if anything was changed."""
    shown = shown or command.view()
    try:
        command.watch(deploying(run), shown)
        if run.replicates and proof is not False and not command.report.code and not command.stop.asked:
            command.watch(prove(run, traffic=bool(proof) or command.report.changes > 0), shown)
    finally:
        shown.close(command.report)
    if run.replicates and command.report.changes and not command.report.code and not command.json:
        _show_ways_in(command)
    return command.report.code


def _show_ways_in(command: Command) -> None:
    """What people will want to type next."""
    from provision.tasks.replication import Settings  # noqa: PLC0415 - the replicator's drivers load slowly

    runs_on = runner(command.site.inventory)
    if runs_on:
        command.page.line(f"Look at the syncs, on {runs_on.name}: replicator status --watch", "dim")
        return
    settings = Settings(command.site)
    host = command.hosts[0]
    server = command.site.node(host).server
    dbname = next(iter(command.site.node(host).databases), "postgres")
    psql = f"psql -h {host.address} -p {server.port} -U {server.superuser} {dbname}"
    option = "" if settings.pointed else f" --config {settings.file}"
    command.page.line(f"Look at the syncs: replicator{option} status --watch", "dim")
    tls = f"PGSSLMODE=verify-full PGSSLROOTCERT={settings.rootcert} " if host.tls else ""
    command.page.line(f"Log in: PGPASSFILE={settings.passfile} {tls}{psql}", "dim")
    if server.bin.startswith(str(command.site.inventory.state_dir)):
        command.page.line(f"psql and pgbench: {server.bin}", "dim")
