"""The command line in a process for each command, without importing it each time: one process has, and forks itself.

A command sees what it sees when a person starts it: its own arguments, environment, working folder and files to write
to. What it leaves behind is its exit code and what it wrote.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from multiprocessing.context import ForkServerContext
from pathlib import Path
from subprocess import CompletedProcess, TimeoutExpired


def forked(
    *arguments: str, environment: Mapping[str, str], folder: Path, timeout_s: float = 120.0
) -> CompletedProcess[str]:
    """`babysea` with these arguments. Raises TimeoutExpired."""
    with tempfile.TemporaryDirectory(prefix="command-") as written:
        out, err = Path(written, "out"), Path(written, "err")
        process = _forks().Process(target=_run, args=(arguments, dict(environment), str(folder), str(out), str(err)))
        process.start()
        process.join(timeout_s)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise TimeoutExpired(["babysea", *arguments], timeout_s, out.read_text(), err.read_text())
        return CompletedProcess(["babysea", *arguments], process.exitcode, out.read_text(), err.read_text())


@cache
def _forks() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["cli.main", __name__])
    return context


def _run(arguments: tuple[str, ...], environment: dict[str, str], folder: str, out: str, err: str) -> None:
    """In the new process. It ends as `babysea` ends."""
    for path, descriptor in ((os.devnull, 0), (out, 1), (err, 2)):
        opened = os.open(path, os.O_RDWR | os.O_CREAT)
        os.dup2(opened, descriptor)
        os.close(opened)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = ["babysea", *arguments]
    from cli.main import main

    main()
