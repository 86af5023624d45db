"""Reads the catalogue's files, checks everything, and says all that is wrong at once.

`models/*.yml`: one file per model, named after its identifier; `providers/*.yml`: one per provider.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from catalog.building import build_fields, build_model, build_provider
from catalog.checks import problems_of
from catalog.prices import with_prices
from catalog.schema import ModelFile, ProviderFile
from catalog.yaml_text import load_yaml
from domain.model import Catalog

File = TypeVar("File", bound=BaseModel)


class CatalogInvalid(Exception):
    """The catalogue must not be used. One message per problem, each beginning with the file's name."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("the catalogue is invalid:\n" + "\n".join(problems))
        self.problems = problems


def load_catalog(folder: Traversable | None = None, *, prices: Path | None = None) -> Catalog:
    """The catalogue in `folder`, by default the one that is part of this package, with the operator's own prices where
    they are given (`catalog/prices.py`). Raises CatalogInvalid."""
    catalog = _read(folder) if folder is not None else _packaged()
    if prices is not None:
        catalog, problems = with_prices(catalog, prices)
        if problems:
            raise CatalogInvalid(problems)
    return catalog


@cache
def _packaged() -> Catalog:
    """Read once: these files do not change while a process runs."""
    return _read(resources.files("catalog"))


def _read(root: Traversable) -> Catalog:
    problems: list[str] = []
    providers = _read_all(root / "providers", ProviderFile, problems)
    models = _read_all(root / "models", ModelFile, problems)
    problems.extend(_names(providers, models))
    hosts = {provider.id: provider for provider in providers.values()}
    built = {}
    for file, model in models.items():
        fields = build_fields(model)
        found = [f"models/{file}: {message}" for message in problems_of(model, fields, hosts)]
        problems.extend(found)
        if not found:
            built[model.identifier] = build_model(model, fields)
    if problems:
        raise CatalogInvalid(problems)
    return Catalog(
        models=MappingProxyType({name: built[name] for name in sorted(built)}),
        providers=MappingProxyType({name: build_provider(hosts[name]) for name in sorted(hosts)}),
    )


def _read_all(folder: Traversable, shape: type[File], problems: list[str]) -> dict[str, File]:
    """File name to content, of those with the right shape; what is wrong with the others goes to `problems`."""
    read = {}
    for path in sorted(folder.iterdir(), key=lambda path: path.name):
        where = f"{folder.name}/{path.name}"
        if not path.name.endswith(".yml"):
            problems.append(f"{where}: only .yml files belong here")
            continue
        try:
            read[path.name] = shape.model_validate(load_yaml(path.read_text("utf-8")))
        except ValidationError as error:
            problems.extend(f"{where}: {_shape_problem(part)}" for part in error.errors())
        except (yaml.YAMLError, ValueError) as error:  # ValueError: not UTF-8, or a day like 2026-13-01
            problems.append(f"{where}: {' '.join(str(error).split())}")
    if not read:
        problems.append(f"{folder.name}: there is no usable file")
    return read


def _shape_problem(part: object) -> str:
    assert isinstance(part, dict)
    return f"{'.'.join(map(str, part['loc']))}: {part['msg']}"


def _names(providers: dict[str, ProviderFile], models: dict[str, ModelFile]) -> list[str]:
    """A file is named after what it describes, which also makes every identifier unique."""
    wanted = {f"providers/{file}": provider.id for file, provider in providers.items()}
    wanted |= {f"models/{file}": model.identifier.replace("/", "-") for file, model in models.items()}
    return [f"{file}: must be named {name}.yml" for file, name in wanted.items() if not file.endswith(f"/{name}.yml")]
