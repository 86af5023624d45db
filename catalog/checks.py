"""What must be true of a catalogue file beyond its shape. Each check yields messages for whoever edits the file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from catalog.mapping_checks import coverage_problems, entry_problems
from catalog.schema import ModelFile, ProviderFile
from domain.fields import Field, FieldKind
from domain.generation import MediaType
from domain.model import Unit

_PUBLIC_STEP = 1_000  # prices are shown with three decimals of a credit


def problems_of(model: ModelFile, fields: tuple[Field, ...], providers: Mapping[str, ProviderFile]) -> Iterator[str]:
    """All that is wrong with a model that has the right shape."""
    yield from _parameters(model)
    yield from _options(fields)
    yield from _prices(model)
    names = [entry.provider for entry in model.providers]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"providers: {name} is given twice"
    for entry in model.providers:
        where = f"providers.{entry.provider}"
        provider = providers.get(entry.provider)
        if provider is None:
            yield f"{where}: there is no providers/{entry.provider}.yml"
        elif model.media_type not in provider.media_types:
            yield f"{where}: does not serve {model.media_type}"
        sizes = provider.sizes if provider else {}
        yield from (f"{where}: {message}" for message in entry_problems(model, entry, fields, sizes))
    yield from coverage_problems(model, fields)


def _parameters(model: ModelFile) -> Iterator[str]:
    lists: dict[str, list[Any]] = {
        "ratios": model.ratios,
        "output_formats": model.output_formats,
        "durations": model.durations,
        "resolutions": model.resolutions,
    }
    for name, values in lists.items():
        if len(set(values)) < len(values):
            yield f"{name}: a value is given twice"
    video = model.media_type is MediaType.VIDEO
    if video != bool(model.durations):
        yield "durations: videos have them, images do not"
    if model.durations != sorted(model.durations):
        yield "durations: must be sorted"
    if video != (model.output_formats == ["mp4"]):
        yield "output_formats: mp4 is the format of videos"
    if model.audio and not video:
        yield "audio: only videos have it"
    yield from _files(model)
    if model.last_frame and not (video and model.input_files_max):
        yield "last_frame: is for videos that accept an input file"
    if bool(model.resolutions) != (model.default_resolution is not None):
        yield "default_resolution: goes with resolutions"
    elif model.default_resolution is not None and model.default_resolution not in model.resolutions:
        yield "default_resolution: is not one of resolutions"
    for resolution, durations in model.durations_by_resolution.items():
        if resolution not in model.resolutions:
            yield f"durations_by_resolution: {resolution} is not one of resolutions"
        if not durations or not set(durations) < set(model.durations):
            yield f"durations_by_resolution.{resolution}: must be some, not all, of durations"


def _files(model: ModelFile) -> Iterator[str]:
    if model.input_files_min > model.input_files_max:
        yield "input_files_min: is above input_files_max"
    if len(model.input_kinds) > model.input_files_max:
        yield "input_kinds: says more than input_files_max"
    if not model.prompt and not model.input_files_min:
        yield "prompt: a model without one needs files (input_files_min)"
    if model.duration_of_input and not (model.input_files_min and MediaType.VIDEO in model.input_kinds):
        yield "duration_of_input: is for models that need a video"
    if not any(entry.default for entry in model.providers):
        yield "providers: at least one must be in the default order"


def _options(fields: tuple[Field, ...]) -> Iterator[str]:
    names = [field.name for field in fields]
    for field in fields:
        if names.count(field.name) > 1:
            yield f"extra_fields.{field.name}: is a field of every model"
        low, high, default = field.minimum, field.maximum, field.default
        if low is not None and high is not None and low > high:
            yield f"extra_fields.{field.name}: minimum is above maximum"
        if field.kind is FieldKind.CHOICE and len(set(field.choices)) < max(len(field.choices), 1):
            yield f"extra_fields.{field.name}: enum must list values, each once"
        if default is not None and not _is_value(field, default):
            yield f"extra_fields.{field.name}: default is not a value of the field"


def _is_value(field: Field, value: Any) -> bool:
    if field.kind is FieldKind.PROVIDER_ORDER:
        return True
    if field.kind in {FieldKind.CHOICE, FieldKind.NUMBER_CHOICE}:
        return value in field.choices
    if field.kind is FieldKind.SWITCH:
        return isinstance(value, bool)
    if field.kind is FieldKind.TEXT:
        return isinstance(value, str)
    whole = field.kind is FieldKind.INTEGER
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
        return False
    return (field.minimum is None or value >= field.minimum) and (field.maximum is None or value <= field.maximum)


def _prices(model: ModelFile) -> Iterator[str]:
    numbers = [price.number for price in model.prices]
    if numbers != list(range(1, len(numbers) + 1)):
        yield "prices: must be numbered 1, 2, 3 ... in order"
    days = [price.effective for price in model.prices]
    if any(later <= earlier for earlier, later in pairwise(days)):
        yield "prices: each entry must be effective later than the one before"
    for price in model.prices:
        where = f"prices.{price.number}"
        if (price.per is Unit.SECOND) != (model.media_type is MediaType.VIDEO):
            yield f"{where}.per: videos are priced per second, images per generation"
        yield from price_problems(model.resolutions, f"{where}.microcredits", price.microcredits, audio=model.audio)
    for entry in model.providers:
        if entry.cost_microcredits is not None:
            where = f"providers.{entry.provider}.cost_microcredits"
            yield from _tiers(model.resolutions, where, entry.cost_microcredits, audio=model.audio)
            if _dearest(entry.cost_microcredits, model) > 0:
                yield f"{where}: is above the newest price: this provider would be used at a loss"


def price_problems(
    resolutions: Sequence[str], where: str, amounts: int | dict[str, int], *, audio: bool
) -> Iterator[str]:
    """What is wrong with what we ask for a model of these resolutions."""
    yield from _tiers(resolutions, where, amounts, audio=audio)
    if any(amount % _PUBLIC_STEP for amount in _amounts(amounts).values()):
        yield f"{where}: prices have three decimals of a credit: multiples of {_PUBLIC_STEP}"


def _tiers(resolutions: Sequence[str], where: str, amounts: int | dict[str, int], *, audio: bool) -> Iterator[str]:
    if isinstance(amounts, int):
        return
    plain = set(resolutions)
    with_audio = {f"{r}_{mode}" for r in resolutions for mode in ("audio", "noaudio")}
    wanted = with_audio if audio and any("_" in tier for tier in amounts) else plain
    if set(amounts) != wanted or not wanted:
        yield f"{where}: tiers must be exactly {', '.join(sorted(wanted)) or 'absent: there are no resolutions'}"


def _amounts(amounts: int | dict[str, int]) -> dict[str, int]:
    return amounts if isinstance(amounts, dict) else {"": amounts}


def _dearest(cost: int | dict[str, int], model: ModelFile) -> int:
    """By how much the cost exceeds the price at the worst tier; negative: by how little it stays below."""
    prices, costs = _amounts(model.prices[-1].microcredits), _amounts(cost)
    shared = set(prices) & set(costs)
    if shared:
        return max(costs[tier] - prices[tier] for tier in shared)
    return max(costs.values()) - min(prices.values())
