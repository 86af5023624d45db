"""Reads the plans from one file, by default `plans.yml` beside this module."""

from __future__ import annotations

from datetime import timedelta
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from types import MappingProxyType
from typing import Annotated

import yaml
from pydantic import AfterValidator, Field, RootModel, StringConstraints, ValidationError

from catalog.schema import Positive, Shape, Text
from catalog.yaml_text import load_yaml
from domain.generation import MediaType
from domain.plans import FALLBACK, Plan, Plans, Retention

_HOURS = {"h": 1, "d": 24}


class PlansInvalid(Exception):
    """The plans must not be used. One message per problem, each beginning with the file's name."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("the plans are invalid:\n" + "\n".join(problems))
        self.problems = problems


def load_plans(path: Path | None = None) -> Plans:
    """The plans in `path`, by default those that are part of this package. Raises PlansInvalid."""
    source: Traversable = path if path is not None else resources.files("catalog") / "plans.yml"
    try:
        read = _PlansFile.model_validate(load_yaml(source.read_text("utf-8"))).root
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, part['loc']))}: {part['msg']}" for part in error.errors()]
        raise PlansInvalid([f"{source.name}: {problem}" for problem in problems]) from error
    except (OSError, yaml.YAMLError, ValueError) as error:
        raise PlansInvalid([f"{source.name}: {' '.join(str(error).split())}"]) from error
    return Plans(MappingProxyType({identifier: _plan(identifier, plan) for identifier, plan in read.items()}))


Identifier = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
Span = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]{0,4}[hd]$")]
Cap = Annotated[int, Field(ge=0)]  # none at all: the plan does not include this media type


class _RetentionFile(Shape):
    output_files: Span
    generation_records: Span
    request_log: Span
    webhook_deliveries: Span


class _InFlightFile(Shape):
    image: Cap
    video: Cap


class _PlanFile(Shape):
    label: Text
    requests_per_minute: Positive
    in_flight: _InFlightFile
    retention: _RetentionFile


def _with_fallback(plans: dict[str, _PlanFile]) -> dict[str, _PlanFile]:
    if FALLBACK not in plans:
        raise ValueError(f"there must be a plan {FALLBACK}: it is the one of accounts whose plan is unknown")
    return plans


class _PlansFile(RootModel[Annotated[dict[Identifier, _PlanFile], AfterValidator(_with_fallback)]]):
    pass


def _plan(identifier: str, file: _PlanFile) -> Plan:
    return Plan(
        identifier=identifier,
        label=file.label,
        requests_per_minute=file.requests_per_minute,
        in_flight=MappingProxyType({MediaType.IMAGE: file.in_flight.image, MediaType.VIDEO: file.in_flight.video}),
        retention=Retention(**{name: _span(text) for name, text in file.retention}),
    )


def _span(text: str) -> timedelta:
    return timedelta(hours=int(text[:-1]) * _HOURS[text[-1]])
