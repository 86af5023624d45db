"""Who may import whom. The table is the rule; everything else here reads it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]

MAY_IMPORT: dict[str, set[str]] = {
    "domain": set(),
    "catalog": {"domain"},
    "store": {"domain"},
    "adapters": {"domain"},
    "activities": {"domain", "store"},  # adapters reach them as arguments, typed by the domain's ports
    "workflows": {"domain", "activities"},  # to name activities and their inputs, never to run them
    "api": {"domain", "catalog", "store", "workflows"},
    "embedded": {"settings"},  # starts processes and speaks HTTP with them
    "sandbox": set(),  # a separate program: the providers, simulated
    "settings": set(),
}
COMPOSE = {"worker", "composition", "api/app.py", "cli", "bench"}  # they put the parts together: anything goes
PURE = {"domain", "catalog"}
IMPURE_LIBRARIES = {"temporalio", "fastapi", "starlette", "httpx", "psycopg", "psycopg_pool", "boto3", "uvicorn"}
MAY_READ_SETTINGS = {"worker", "composition", "api/app.py", "cli", "embedded", "bench"}
OURS = set(MAY_IMPORT) | {"worker", "composition", "cli", "bench"}


def modules() -> list[Path]:
    found = [PROJECT / f"{name}.py" for name in OURS] + [
        path for name in OURS if (PROJECT / name).is_dir() for path in (PROJECT / name).rglob("*.py")
    ]
    return sorted(path.relative_to(PROJECT) for path in found if path.exists())


def layer_of(module: Path) -> str:
    """The row of the table: the top-level package or module, but composition roots by their path."""
    return str(module) if str(module) in COMPOSE else module.parts[0].removesuffix(".py")


def imports_of(module: Path) -> Iterator[tuple[str, int]]:
    """Top-level names that a module imports, wherever in it, with the line."""
    for node in ast.walk(ast.parse((PROJECT / module).read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name.partition(".")[0], node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.partition(".")[0], node.lineno


@pytest.mark.parametrize("module", modules(), ids=str)
def test_a_module_imports_only_what_its_layer_may(module: Path):
    layer = layer_of(module)
    if layer in COMPOSE:
        return
    allowed = MAY_IMPORT[layer] | {layer}

    wrong = [f"{module}:{line} imports {name}" for name, line in imports_of(module) if name in OURS - allowed]

    assert not wrong, (
        f"{', '.join(wrong)}. {layer}/ may import {', '.join(sorted(MAY_IMPORT[layer])) or 'nothing of ours'}: pass it "
        "in as an argument typed by a port in domain/, or change MAY_IMPORT here and say why in docs/decisions/."
    )


@pytest.mark.parametrize("module", [path for path in modules() if path.parts[0] in PURE], ids=str)
def test_pure_layers_import_no_framework(module: Path):
    wrong = [f"{module}:{line} imports {name}" for name, line in imports_of(module) if name in IMPURE_LIBRARIES]

    assert not wrong, f"{', '.join(wrong)}: {', '.join(sorted(PURE))} are pure; I/O belongs to adapters/ and store/."


def test_only_composition_roots_read_the_settings():
    wrong = [
        str(module)
        for module in modules()
        if layer_of(module) not in MAY_READ_SETTINGS | {"settings"}
        and "settings" in {name for name, _ in imports_of(module)}
    ]

    assert not wrong, f"{wrong}: take the single value as an argument instead."


def test_providers_do_not_import_each_other():
    folder = PROJECT / "adapters" / "providers"
    names = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    providers = {name for name in names if (PROJECT / "sandbox" / name).exists() or name in {"replicate", "fal"}}

    wrong = [
        f"{name} imports {other}"
        for name in providers
        for other in providers - {name}
        if f"adapters.providers.{other}" in (folder / f"{name}.py").read_text()
    ]

    assert not wrong


def test_every_top_level_package_has_a_row_in_the_table():
    packages = {path.parent.name for path in PROJECT.glob("*/__init__.py")} - {"tests"}
    top_modules = {path.stem for path in PROJECT.glob("*.py")}

    assert packages | top_modules <= OURS


def test_no_folder_or_module_is_named_after_leftovers():
    leftovers = {"utils", "util", "helpers", "helper", "common", "core", "misc", "shared", "lib"}

    assert not [str(module) for module in modules() if leftovers & {part.removesuffix(".py") for part in module.parts}]


def test_imports_inside_functions_are_seen(tmp_path: Path):
    module = tmp_path / "lazy.py"
    module.write_text("def late():\n    from store import ledger\n    return ledger\n")

    assert list(imports_of(module)) == [("store", 2)]
