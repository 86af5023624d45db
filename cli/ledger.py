"""`babysea ledger`: proof that the books balance, from the entries alone, and periods that are closed for good."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cli.deployment import DataOption, JsonOption, find
from cli.errors import CommandFailed
from cli.ledger_seals import seal, seals_list, verify_sealed
from cli.output import err, out, print_json
from embedded.config import DATA_DEFAULT

if TYPE_CHECKING:
    from store.ledger_verification import Verification

ledger_commands = typer.Typer(no_args_is_help=True, help="The books, proven from their entries.")
ledger_commands.command()(seal)
ledger_commands.command("seals")(seals_list)


@ledger_commands.command()
def verify(
    account: Annotated[str | None, typer.Option(help="Only this account, by its name.")] = None,
    full: Annotated[
        bool, typer.Option("--full/--incremental", help="Everything, or what came after the last scheduled proof.")
    ] = True,
    seals: Annotated[
        bool, typer.Option("--seals", help="The sealed periods, by their hashes, and nothing else.")
    ] = False,
    data: DataOption = DATA_DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Recompute every balance, hold and grant from the entries, in the database itself, and name what is wrong.

    Reads one snapshot and blocks nobody. Exit code 1 when something is wrong; its first line is the first violation.
    """
    if (account is not None) + (not full) + seals > 1:
        raise typer.BadParameter("--account, --incremental and --seals do not go together.")
    if seals:
        verify_sealed(data, as_json=as_json)
        return
    done = asyncio.run(_verified(data, account, full=full, quiet=as_json))
    if as_json:
        print_json(document(done))
    else:
        for violation in done.violations:
            err.print(str(violation), markup=False)
        out.print(_summary(done))
    if done.violations:
        raise typer.Exit(1)


def document(done: Verification) -> dict[str, Any]:
    """What `--json` prints. Of each kind of violation it has the first one."""
    return {
        "balanced": not done.violations,
        "kind": "full" if done.is_full else "incremental",
        "first_violation": str(done.violations[0]) if done.violations else None,
        "violations": [asdict(violation) for violation in done.violations],
        "entries": done.entries,
        "holds": done.holds,
        "grants": done.grants,
        "generations": done.generations,
        "seconds": round(done.seconds, 3),
        "rows_per_second": round(done.rows_per_second),
    }


def _summary(done: Verification) -> str:
    word = "The ledger is balanced" if not done.violations else "The ledger is NOT balanced"
    what = "" if done.is_full else " in what is new"
    return (
        f"{word}{what}: {done.entries:,} entries, {done.holds:,} holds, {done.grants:,} grants and "
        f"{done.generations:,} generations in {done.seconds:.1f} s ({done.rows_per_second:,.0f} rows per second)."
    )


async def _verified(data: Path, account: str | None, *, full: bool, quiet: bool) -> Verification:
    from store import accounts, ledger_incremental, ledger_verification

    url = find(data).settings.database_url.get_secret_value()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    async with ledger_verification.reading(url) as conn:
        if not full:
            return await ledger_incremental.verify_new(conn)
        account_id = None
        if account is not None:
            found = await accounts.by_name(conn, account)
            if found is None:
                raise CommandFailed(f"There is no account {account!r}.")
            account_id = found.account_id
        with Progress(*columns, console=err, transient=True, disable=quiet or not err.is_terminal) as bar:
            task = bar.add_task("rows", total=None)

            def tell(so_far: ledger_verification.Progress) -> None:
                bar.update(task, completed=so_far.read, total=so_far.expected)

            return await ledger_verification.verify(conn, account_id=account_id, progress=tell)
