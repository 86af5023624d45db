"""Files that repeat facts of the code are compared with it."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import typer

from cli.main import app
from embedded.config import DATA_VARIABLE, PORTS
from settings import by_environment_name

PROJECT = Path(__file__).parents[2]
EXAMPLE = PROJECT / ".env.example"
EMBEDDED_ONLY = {DATA_VARIABLE, *(port.variable for port in PORTS)}

REGISTRY_ADDRESS = re.compile(r"https?://[^\s\"']*(?:/simple/|/packages/[0-9a-f]{2}/|\.whl\b|\.tgz\b)|file://")
HOME_PATH = re.compile(r"(?<![\w.])/(?:work|home|root|Users)/[A-Za-z]")


def example() -> list[tuple[str, str]]:
    """Names and values of the example environment, in its order, those commented out included."""
    return re.findall(r"^(?:# )?(BABYSEA_\w+)=(.*)$", EXAMPLE.read_text(), re.MULTILINE)


def tracked_files() -> list[Path]:
    """What git keeps; in an unpacked archive, everything that is not made by a tool."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=PROJECT,
        capture_output=True,
        check=False,
        text=True,
    )
    names = listed.stdout.split("\0") if listed.returncode == 0 else []
    return [PROJECT / name for name in names if name and (PROJECT / name).is_file()]


def test_the_example_environment_lists_every_setting_once_and_nothing_else():
    listed = [name for name, _ in example()]

    assert sorted(listed) == sorted(set(by_environment_name()) | EMBEDDED_ONLY), (
        "Add the setting to .env.example, or remove it there: every name stands there exactly once."
    )


def test_the_example_environment_shows_the_defaults():
    listed = dict(example())

    wrong = [
        f"{name}: example {listed[name]!r}, default {field.default!r}"
        for name, field in by_environment_name().items()
        if name in listed
        and not field.is_required()
        and field.default is not None
        and listed[name] != str(field.default).lower().replace("none", "")
        and listed[name] != str(field.default)
    ]

    assert not wrong, wrong


def test_the_example_environment_holds_no_secret():
    secrets = [name for name, field in by_environment_name().items() if "SecretStr" in str(field.annotation)]
    listed = dict(example())

    given = {name: listed[name] for name in secrets}

    assert {value for name, value in given.items() if name != "BABYSEA_DATABASE_URL"} == {""}


@pytest.mark.parametrize("pattern", [REGISTRY_ADDRESS, HOME_PATH], ids=["registry address", "path of one machine"])
def test_no_file_names_the_machine_it_was_written_on(pattern: re.Pattern[str]):
    here = Path(__file__)
    found = []
    for path in tracked_files():
        if path == here:
            continue
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        found += [f"{path.relative_to(PROJECT)}: {hit.group()}" for hit in pattern.finditer(text)]

    assert not found, found[:20]


def test_constraints_pin_every_dependency_exactly():
    lines = (PROJECT / "constraints.txt").read_text().splitlines()

    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.!+]+", line) for line in lines)
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    wanted = [
        *project["dependencies"],
        *(name for extra in project["optional-dependencies"].values() for name in extra),
    ]
    missing = {normal(name) for name in wanted} - {normal(line) for line in lines}
    assert not missing, f"{missing}: pin them, with what they need, in constraints.txt."


def normal(requirement: str) -> str:
    """The name of a package in the one spelling that all others equal."""
    name = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert name is not None
    return re.sub(r"[-_.]+", "-", name[0]).lower()


def commands_of(group: typer.core.TyperGroup) -> set[str]:
    """All that can be called, a group's own commands after its name; its name alone where that does something."""
    found = set()
    for name, command in group.commands.items():
        if not isinstance(command, typer.core.TyperGroup):
            found.add(name)
            continue
        found |= {f"{name} {inner}" for inner in commands_of(command)}
        if command.invoke_without_command:
            found.add(name)
    return found


def test_every_command_that_a_paper_names_exists():
    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    known = commands_of(group)
    papers = [*PROJECT.glob("*.md"), *(PROJECT / "docs").rglob("*.md"), PROJECT / "docker-compose.yml"]

    named = {
        (paper.name, words)
        for paper in papers
        for words in re.findall(
            r"(?:`|^ *|[$(]|api )babysea ([a-z][a-z-]*(?: [a-z][a-z-]*)?)", paper.read_text(), re.MULTILINE
        )
    }

    assert len(named) > 20
    groups = {words.split()[0] for words in known if " " in words}
    unknown = sorted(
        (paper, words)
        for paper, words in named
        if words not in known and (words.split()[0] in groups or words.split()[0] not in known)
    )
    assert not unknown, unknown


def test_the_makefile_lists_every_verb():
    makefile = (PROJECT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert phony is not None

    documented = re.findall(r"^([a-z]+):.*## ", makefile, re.MULTILINE)

    assert sorted(documented) == sorted(phony[1].split())


def test_continuous_integration_runs_the_test_verb():
    assert (PROJECT / ".ci" / "run").read_text().splitlines()[-1] == "exec make test"
