"""What commands print: answers on standard output, everything about the way there on standard error."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import Enum
from typing import Any

from rich.console import Console
from rich.markup import escape

from domain.pricing import text_from_microcredits

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def print_json(document: Any) -> None:
    """One JSON document, the same on a terminal and in a pipe."""
    sys.stdout.write(json.dumps(document, indent=2, default=_plain, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Columns as wide as what is in them: never cut, so that ids can be copied."""
    lines = [tuple(columns), *(tuple(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(columns))]
    for line in lines:
        out.print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip(), markup=False)


def credits(microcredits: int) -> str:
    """Exact: credits with as many decimals as there are, at least three."""
    whole, _, decimals = text_from_microcredits(microcredits).partition(".")
    return f"{whole}.{decimals.ljust(3, '0')}"


class Progress:
    """What a starting stack tells the terminal."""

    def __init__(self, console: Console = err) -> None:
        self._console = console
        self._began = time.monotonic()

    def ready(self, part: str, seconds: float) -> None:
        self._console.print(f"  [green]✓[/] {part:<10} ready in {seconds:.1f} s")

    def ended(self, part: str, how: str, pause_s: float) -> None:
        moment = datetime.now().astimezone().strftime("%H:%M:%S")
        self._console.print(f"  [yellow]![/] {moment} {part} {escape(how)}; starting it again in {pause_s:.1f} s")

    def note(self, text: str) -> None:
        self._console.print(f"  [yellow]![/] {escape(text)}")

    def elapsed_s(self) -> float:
        return time.monotonic() - self._began


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Enum):
        return value.value
    return str(value)
