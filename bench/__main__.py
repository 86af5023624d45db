"""`python -m bench`: what the system costs beside the least that could do the same, in one run on one machine.

A generation beside the raw engine (bench/generation.py), the API beside a bare route (bench/api.py), the ledger beside
pgbench (bench/ledger.py); in alternation, medians over the rounds. Machines differ by a factor of two: only the ratios
mean something elsewhere.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from bench import api, generation, ledger
from bench.running import running

PARTS = ("api", "generation", "ledger")


async def main() -> None:
    options = _options()
    console = Console(stderr=True)
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="bs-bench-") as folder:
        if "ledger" in options.only:
            figures |= await ledger.measure(Path(folder), console, rounds=options.rounds, seconds=options.seconds)
        if {"api", "generation"} & set(options.only):
            async with running(Path(folder), console) as stack:
                if "api" in options.only:
                    figures |= await api.measure(stack, console, rounds=options.rounds, seconds=options.seconds)
                if "generation" in options.only:
                    figures |= await generation.measure(
                        stack, console, rounds=options.rounds, total=options.total, warm_up=options.warm_up
                    )
    if "api" in options.only:
        api.show(figures)
    if "generation" in options.only:
        generation.show(figures)
    if "ledger" in options.only:
        ledger.show(figures)
    _write(figures, Path(options.output))
    console.print(f"written to {options.output}")


def _write(figures: dict[str, float], target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    rounded = {name: round(value, 4) for name, value in figures.items()}
    target.write_text(json.dumps(rounded, indent=2, sort_keys=True) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--only", action="append", choices=PARTS, help="measure this part alone (default: all)")
    parser.add_argument("--rounds", type=int, default=3, help="alternations of the two sides (default 3)")
    parser.add_argument("--total", type=int, default=200, help="jobs per round and level (default 200)")
    parser.add_argument("--warm-up", type=int, default=40, help="jobs of each kind before the first round (default 40)")
    parser.add_argument(
        "--seconds", type=float, default=3, help="seconds on each side of an API or ledger ratio (default 3)"
    )
    parser.add_argument("--output", default="build/bench.json", help="where the figures go (default build/bench.json)")
    options = parser.parse_args()
    options.only = options.only or PARTS
    return options


if __name__ == "__main__":
    asyncio.run(main())
    sys.stdout.flush()
    os._exit(0)
