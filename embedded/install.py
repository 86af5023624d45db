"""Makes the virtual environment and installs the project into it, saying what it does.

Run by the Makefile with any Python 3.11 or newer, before anything is installed: only the standard library is used
here. A second run with nothing changed ends at once.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import time
import venv
from collections import deque
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
PYTHON_MIN = (3, 11)
INPUTS = ("pyproject.toml", "constraints.txt")  # what the installed set depends on


class InstallFailed(Exception):
    """The message is for the person at the terminal."""


def install(environment: Path, extras: frozenset[str]) -> None:
    """Raises InstallFailed."""
    stamp = environment / "installed.txt"
    wanted = _fingerprint()
    known, had = read_stamp(stamp)
    if known == wanted and extras <= had:
        return
    began = time.monotonic()
    extras = extras | (had if known == wanted else frozenset())
    if not (environment / "bin" / "python").exists():
        say(f"Making the virtual environment {environment.name} ...")
        _make(environment)
    say(f"Installing {', '.join(sorted(extras))}; the first time takes about a minute ...")
    _pip(environment, extras)
    stamp.write_text("\n".join([wanted, *sorted(extras)]) + "\n")
    say(f"Installed in {time.monotonic() - began:.0f} s.")


def read_stamp(stamp: Path) -> tuple[str, frozenset[str]]:
    if not stamp.exists():
        return "", frozenset()
    fingerprint, *extras = stamp.read_text().split()
    return fingerprint, frozenset(extras)


def _fingerprint() -> str:
    digest = hashlib.sha256()
    for name in INPUTS:
        digest.update((PROJECT / name).read_bytes())
    return digest.hexdigest()


def _make(environment: Path) -> None:
    try:
        venv.create(environment, with_pip=True)
    except subprocess.CalledProcessError as error:
        raise InstallFailed(
            "Python could not make a virtual environment with pip in it. On Debian and Ubuntu the package "
            "python3-venv is missing; with another Python, run `make PYTHON=/path/to/python3.11`."
        ) from error


def _pip(environment: Path, extras: frozenset[str]) -> None:
    command = [
        *(str(environment / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check"),
        *("--progress-bar", "off", "--no-input", "--prefer-binary", "-c", str(PROJECT / "constraints.txt")),
        *("-e", f"{PROJECT}[{','.join(sorted(extras))}]"),
    ]
    if "dev" in extras:
        command.append("--no-compile")  # twenty thousand files: Python compiles the few that are ever imported
    tail: deque[str] = deque(maxlen=20)
    found = 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as pip:
        assert pip.stdout is not None
        for line in pip.stdout:
            tail.append(line.rstrip())
            word, _, rest = line.strip().partition(" ")
            if word == "Collecting":
                found += 1
                progress(f"  {found:3} packages looked up, {rest.split(' ')[0]}")
            elif word in {"Downloading", "Building", "Installing"}:
                progress(f"  {word.lower()} {rest[:60]}")
    progress("")
    if pip.returncode != 0:
        raise InstallFailed("pip could not install. It ended with:\n" + "\n".join(f"  {line}" for line in tail))


def say(text: str) -> None:
    print(text, flush=True)


def progress(text: str) -> None:
    """On a terminal one line that changes; elsewhere nothing, so that logs stay short."""
    if sys.stdout.isatty():
        print(f"\r\033[K{text[:79]}", end="", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--environment", type=Path, default=PROJECT / ".venv")
    parser.add_argument("--extras", default="embedded", help="comma-separated")
    arguments = parser.parse_args()
    if sys.version_info < PYTHON_MIN:
        say(f"Python 3.11 or newer is needed; this is {sys.version.split()[0]}. Try `make PYTHON=python3.11`.")
        return 1
    try:
        install(arguments.environment.absolute(), frozenset(arguments.extras.split(",")))
    except InstallFailed as failed:
        say(str(failed))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
