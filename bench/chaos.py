"""`python -m bench.chaos`: generations while worker, API, engine and database are killed with -9, every few seconds.

The whole embedded stack, with customers that repeat what was not answered, as clients do. At the end everything must
have ended, been paid for once or not at all, and the books must balance: the exit code says whether. Ctrl-C asks for no
more, waits for what is under way, and judges that.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from bench.accounts import BenchAccount, open_accounts
from bench.chaos_verdict import Verdict, judge
from bench.running import prepare, without_limits
from cli.api_client import ApiClient
from cli.errors import CommandFailed
from domain.errors import DatabaseUnavailable
from embedded.child import Report
from embedded.config import StackConfig, StackPorts
from embedded.running import RunningStack
from embedded.stack import Stack

PARTS = ("worker", "api", "temporal", "postgres")
MODEL = "bfl/flux-schnell"
ACCOUNTS = 8
ENDS_WITHIN_S = 300.0
PATIENCE_S = 600.0  # of a customer without an answer: each death of the API may leave a key claimed for a minute
VERDICT_WITHIN_S = 120.0
PAUSE_S = 0.5  # of a customer, between two looks
ENDED_BETWEEN_KILLS = 4
PROMPTS = (  # what happens to a generation, by its share of ten
    *("a harbour at dawn",) * 5,
    "a harbour at dusk [sandbox:replicate=latency_2]",
    "a lighthouse [sandbox:replicate=job_failed]",
    "a pier [sandbox:replicate=reset_after]",
    "a storm [sandbox:replicate=job_failed;fal=job_failed]",
    "a ship that is called back [sandbox:replicate=latency_2]",
)
CALLED_BACK = PROMPTS[-1]
QUICK = {  # what a customer of a test may wait for
    "BABYSEA_IMAGE_DEADLINE_S": "40",
    "BABYSEA_IMAGE_CALLBACK_GRACE_S": "3",
    "BABYSEA_POLL_INTERVAL_S": "0.5",
    "BABYSEA_SUBMIT_TIMEOUT_S": "3",
    "BABYSEA_ADOPTION_WINDOW_S": "6",
}


@dataclass
class Run:
    """What has happened so far."""

    total: int  # to be asked for
    rng: random.Random
    began: float = field(default_factory=time.monotonic)
    asked: int = 0
    unheard: list[str] = field(default_factory=list)  # what the customer was told instead of an end
    statuses: Counter[str] = field(default_factory=Counter)
    kills: Counter[str] = field(default_factory=Counter)

    def no_more(self) -> None:
        self.total = self.asked

    @property
    def ended(self) -> int:
        return self.statuses.total() + len(self.unheard)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    def line(self) -> str:
        kills = ", ".join(f"{part} {count}" for part, count in sorted(self.kills.items())) or "none"
        return (
            f"{self.ended}/{self.total} ended, {self.asked - self.ended} in flight, "
            f"{self.ended / max(self.seconds, 0.001):.1f}/s, {len(self.unheard)} unheard; kills: {kills}"
        )


async def chaos(
    folder: Path,
    *,
    total: int,
    in_flight: int,
    kill_every_s: float,
    seed: int,
    parts: tuple[str, ...] = PARTS,
    console: Console | None = None,
) -> Verdict:
    """`total` generations on a stack of its own in `folder`. A part is killed about every `kill_every_s` seconds.
    SIGINT ends it early, with a verdict on what was asked for by then."""
    console = console or Console(stderr=True, quiet=True)
    run = Run(total, random.Random(seed))  # noqa: S311
    async with _running(folder, console) as (stack, found):
        accounts = await open_accounts(found.settings_environment(), ACCOUNTS, name="chaos")
        run.began = time.monotonic()
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, run.no_more)
        killer = asyncio.create_task(_kill(stack, run, parts, kill_every_s))
        progress = asyncio.create_task(_progress(run, console))
        try:
            async with AsyncExitStack() as opened:
                customers = [await opened.enter_async_context(_customer(found, account)) for account in accounts]
                await asyncio.gather(*(_lane(customers, run) for _ in range(in_flight)))
        finally:
            killer.cancel()
            progress.cancel()
        console.print(run.line())
        return await _judged(found, accounts, run)


def _customer(found: RunningStack, account: BenchAccount) -> ApiClient:
    return ApiClient(found.config.api_url, account.key, patience_s=PATIENCE_S, pause_s=PAUSE_S)


async def _lane(customers: list[ApiClient], run: Run) -> None:
    while run.asked < run.total:
        number = run.asked
        run.asked += 1
        customer, prompt = run.rng.choice(customers), run.rng.choice(PROMPTS)
        try:
            generation_id = await customer.generate(
                "image", MODEL, {"generation_prompt": f"{number}: {prompt}"}, idempotency_key=f"chaos-{number}"
            )
            if prompt == CALLED_BACK:
                with suppress(CommandFailed):  # whatever comes of it
                    await customer.cancel(generation_id)
            record = await customer.ended(generation_id, within_s=ENDS_WITHIN_S)
        except CommandFailed as failure:
            run.unheard.append(f"{number}: {failure}")
        else:
            run.statuses[record["generation_status"]] += 1


async def _kill(stack: Stack, run: Run, parts: tuple[str, ...], every_s: float) -> None:
    """One part after the other, at random; one that is down already is left to come back. The first dies as soon as
    there is work to lose. Some generations end between two kills: on a slow machine the parts would else do nothing but
    start."""
    while not run.asked:  # noqa: ASYNC110 - nobody counts them but the lanes
        await asyncio.sleep(0.05)
    while True:
        part = run.rng.choice(parts)
        pid = stack.pids().get(part)
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                run.kills[part] += 1
        enough = run.ended + ENDED_BETWEEN_KILLS
        await asyncio.sleep(every_s * run.rng.uniform(0.5, 1.5))
        while run.ended < enough:  # noqa: ASYNC110
            await asyncio.sleep(0.1)


async def _judged(found: RunningStack, accounts: list[BenchAccount], run: Run) -> Verdict:
    """Once the database is back from its last death."""
    deadline = time.monotonic() + VERDICT_WITHIN_S
    while True:
        try:
            return await judge(
                found.database_url,
                [account.account_id for account in accounts],
                asked=run.asked,
                unheard=run.unheard,
                seconds=run.seconds,
                kills=dict(sorted(run.kills.items())),
                statuses=dict(sorted(run.statuses.items())),
            )
        except DatabaseUnavailable:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.5)


async def _progress(run: Run, console: Console) -> None:
    while True:
        await asyncio.sleep(5)
        console.print(run.line())


@asynccontextmanager
async def _running(folder: Path, console: Console) -> AsyncIterator[tuple[Stack, RunningStack]]:
    os.environ.update(QUICK)
    without_limits(folder)
    stack = Stack(StackConfig(folder, StackPorts(0, 0, 0, 0)), _Deaths(console), prepare, latency_scale=0)
    try:
        yield stack, await stack.start()
    finally:
        await stack.stop()


class _Deaths(Report):
    """Deaths are what this is about: only what nobody ordered is worth a line."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def ready(self, part: str, seconds: float) -> None: ...

    def ended(self, part: str, how: str, pause_s: float) -> None:  # noqa: ARG002 - the port has it
        if "SIGKILL" not in how and part != "postgres":  # of the database nobody knows how it ended
            self._console.print(f"{part} {how}, which nobody ordered")

    def note(self, text: str) -> None:
        self._console.print(text)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.chaos", description=__doc__)
    parser.add_argument("--generations", type=int, default=300, help="how many (default 300)")
    parser.add_argument("--in-flight", type=int, default=8, help="at the same time (default 8)")
    parser.add_argument("--kill-every", type=float, default=5, help="seconds between two kills (default 5)")
    parser.add_argument("--part", action="append", choices=PARTS, help="kill this part alone (default: all)")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32), help="of what is random")
    parser.add_argument("--output", default="build/chaos.json", help="where the verdict goes")
    parser.add_argument("--data", type=Path, help="keep the stack's data and logs here (default: they are removed)")
    options = parser.parse_args()
    if options.data:
        options.data.mkdir(parents=True, exist_ok=True)
    return options


async def _main() -> int:
    options = _options()
    console = Console(stderr=True)
    console.print(f"seed {options.seed}")
    with tempfile.TemporaryDirectory(prefix="bs-chaos-") as folder:
        verdict = await chaos(
            options.data or Path(folder),
            total=options.generations,
            in_flight=options.in_flight,
            kill_every_s=options.kill_every,
            seed=options.seed,
            parts=tuple(options.part or PARTS),
            console=console,
        )
    _write({"seed": options.seed, **verdict.document()}, Path(options.output))
    return 0 if verdict.passed else 1


def _write(document: dict[str, Any], target: Path) -> None:
    text = json.dumps(document, indent=2)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    code = asyncio.run(_main())
    sys.stdout.flush()
    os._exit(code)
