"""The installer that the Makefile runs before anything is installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from embedded import install


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, list[str]]:
    """A folder in place of a virtual environment, and what was done to it."""
    done: list[str] = []

    def make(environment: Path) -> None:
        done.append("made")
        (environment / "bin").mkdir(parents=True)
        (environment / "bin" / "python").touch()

    monkeypatch.setattr(install, "_make", make)
    monkeypatch.setattr(install, "_pip", lambda _, extras: done.append("+".join(sorted(extras))))
    return tmp_path / "venv", done


def test_a_second_run_does_nothing(environment: tuple[Path, list[str]]):
    folder, done = environment

    for _ in range(2):
        install.install(folder, frozenset({"embedded"}))

    assert done == ["made", "embedded"]


def test_what_is_installed_already_suffices_for_less(environment: tuple[Path, list[str]]):
    folder, done = environment

    install.install(folder, frozenset({"embedded", "dev"}))
    install.install(folder, frozenset({"embedded"}))

    assert done == ["made", "dev+embedded"]


def test_more_extras_keep_those_that_were_there(environment: tuple[Path, list[str]]):
    folder, done = environment

    install.install(folder, frozenset({"embedded"}))
    install.install(folder, frozenset({"dev"}))

    assert done == ["made", "embedded", "dev+embedded"]


def test_changed_requirements_install_again(environment: tuple[Path, list[str]], monkeypatch: pytest.MonkeyPatch):
    folder, done = environment
    install.install(folder, frozenset({"embedded"}))

    monkeypatch.setattr(install, "_fingerprint", lambda: "changed")
    install.install(folder, frozenset({"embedded"}))

    assert done == ["made", "embedded", "embedded"]


def test_a_failing_pip_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text("#!/bin/sh\necho 'ERROR: no such package'\nexit 1\n")
    python.chmod(0o755)

    with pytest.raises(install.InstallFailed, match="no such package"):
        install.install(tmp_path, frozenset({"embedded"}))

    assert not (tmp_path / "installed.txt").exists()


def test_the_installer_needs_nothing_but_python():
    program = f"import runpy, sys; sys.argv = ['install', '--help']; runpy.run_path({install.__file__!r}, run_name='x')"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", program], capture_output=True, check=False, text=True)

    assert done.returncode == 0, done.stderr
