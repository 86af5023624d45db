"""Who may import whom. The table is the rule; everything else here reads it."""

from __future__ import annotations

import ast
import re
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
    "embedded": set(),  # starts processes, gives them their settings as environment, and speaks HTTP with them
    "sandbox": set(),  # a separate program: the providers, simulated
    "settings": {"adapters"},  # each adapter says what it must be told
}
COMPOSE = {"worker", "composition", "api/app.py", "cli", "bench"}  # they put the parts together: anything goes
PURE = {"domain", "catalog"}
IMPURE_LIBRARIES = {
    "temporalio",
    "fastapi",
    "starlette",
    "httpx",
    "psycopg",
    "psycopg_pool",
    "boto3",
    "redis",
    "uvicorn",
}
MAY_READ_SETTINGS = COMPOSE
OURS = set(MAY_IMPORT) | {name for name in COMPOSE if "/" not in name}
PROVIDERS = {path.stem for path in (PROJECT / "catalog" / "providers").glob("*.yml")}


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


def provider_of(name: str) -> str | None:
    """The provider whose module this is: its name, or what comes before the first underscore."""
    first = name.partition("_")[0]
    return first if first in PROVIDERS else None


def modules_named_in(module: Path, package: str) -> set[str]:
    """The modules of one package that a module imports, in whichever spelling."""
    found: set[str] = set()
    for node in ast.walk(ast.parse((PROJECT / module).read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            path = ".".join(filter(None, [package if node.level else None, node.module]))
            found |= {path, *(f"{path}.{alias.name}" for alias in node.names)}
    inside = {name.removeprefix(f"{package}.") for name in found if name.startswith(f"{package}.")}
    return {name.partition(".")[0] for name in inside}


def owner_of(module: Path, package: str) -> str | None:
    """The provider to which a module belongs: by its folder in the package, or by its own name."""
    folder = Path(*package.split("."))
    below = module.relative_to(folder) if module.is_relative_to(folder) else Path(module.name)
    return provider_of(below.parts[0].removesuffix(".py"))


def strangers_of(module: Path, package: str) -> set[str]:
    """Modules of other providers that a provider's module imports."""
    own = owner_of(module, package)
    named = modules_named_in(module, package)
    return {name for name in named if own is not None and provider_of(name) not in {None, own}}


@pytest.mark.parametrize("package", ["adapters.providers", "sandbox"])
def test_providers_do_not_import_each_other(package: str):
    found = sorted(module.relative_to(PROJECT) for module in (PROJECT / package.replace(".", "/")).rglob("*.py"))

    wrong = {str(module): strangers for module in found if (strangers := strangers_of(module, package))}

    assert {owner_of(module, package) for module in found} >= PROVIDERS, "these are the modules that were looked for"
    assert not wrong, f"{wrong}: what two providers share stands in a module of its own, as answers.py does."


@pytest.mark.parametrize(
    "line",
    [
        "from adapters.providers import fal",
        "from adapters.providers.fal import FalProvider",
        "from adapters.providers import answers, fal_signature",
        "import adapters.providers.fal as other",
        "from . import fal",
        "from .fal_signature import verified",
        "def late():\n    from adapters.providers import fal",
    ],
)
def test_an_import_of_another_provider_is_seen(tmp_path: Path, line: str):
    module = tmp_path / "replicate_signature.py"
    module.write_text(line + "\n")

    assert strangers_of(module, "adapters.providers") in ({"fal"}, {"fal_signature"})


def test_the_architecture_paper_shows_the_table():
    paper = (PROJECT / "docs" / "architecture.md").read_text()
    rows = re.findall(r"^\| (`[^|]+`) \| [^|]+ \| ([^|]+) \|$", paper.partition("## Layers")[2], re.MULTILINE)
    shown = {
        name if "/" in name else name.removesuffix(".py"): may
        for names, may in rows
        for name in (found.rstrip("/") for found in re.findall(r"`([^`]+)`", names))
    }

    composing = {name for name, may in shown.items() if may == "anything"}
    layers = {name: set() if may == "nothing of ours" else set(may.split(", ")) for name, may in shown.items()}

    assert composing == COMPOSE
    assert {name: may for name, may in layers.items() if name not in composing} == MAY_IMPORT


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
