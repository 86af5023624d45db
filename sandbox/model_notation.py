"""Reads a provider's models from YAML in a compact notation.

    lists:                                       # named by letters and how many they are
      A2: [1:1, 16:9]
    sizes:                                       # pixels by aspect ratio; the portrait of each is added
      flux: {1:1: 1024x1024, 16:9: 1344x768}
    groups:                                      # parameters that many models share
      webp: {output_format: webp | jpg | png = webp, output_quality: 0..100 = 80}
    every:                                       # what the entries of a section begin with
      images: {gives: string, input: {prompt!: text}}
    images:                                      # and `videos`
      acme/painter:
        with: [webp]
        sizes: flux
        input: {aspect_ratio: A2 = 1:1, num_outputs: 1..4 = 1, image: file}
      acme/painter-pro:
        like: acme/painter                       # an entry above
        without: [num_outputs]
        input: {image!: file}

A parameter is written as `sandbox/parameter_notation.py` says; its name ends in `!` where it is required.

Further members of an entry: `also` (ids of equal models), `gives` (how the files are wrapped), `format` (what comes
where no parameter chooses), `short_side`, `seconds`, `fps` (of a video without a parameter for it), `versions` (of a
community model), `flags_nsfw`, `rules` (`a needs b`, `a=1|2 not with b=3`) and `source`, where it is not the provider's
published schema: `unverified` or `catalogue`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

import yaml

from sandbox.parameter_notation import LIST_NAME, PIXELS, NotationError, read_parameter
from sandbox.parameters import Condition, Model, Parameter, Together

_Base: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)  # every scalar is text: 16:9 and Off are words of providers
_SECTIONS = {"images": "image", "videos": "video"}
_OUTPUTS = {"string", "list", "image", "images", "video"}
_SOURCES = {"", "unverified", "catalogue"}
_FIELDS = {
    "also", "flags_nsfw", "format", "fps", "gives", "input", "like", "rules", "seconds", "short_side", "sizes",
    "source", "versions", "with", "without",
}  # fmt: skip
_CONDITION = re.compile(r"(?P<name>\w+)(?:=(?P<values>.+))?")


class _Loader(_Base):  # type: ignore[misc]
    """Text, lists and mappings only."""


def _mapping(loader: Any, node: Any) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        if key in members:
            raise NotationError(f"{key} is given twice, the second time in line {key_node.start_mark.line + 1}.")
        members[key] = loader.construct_object(value_node, deep=True)
    return members


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)


def read_models(text: str) -> dict[str, Model]:
    """By id, in order. Raises NotationError, and yaml.YAMLError for what is no YAML."""
    document = yaml.load(text, Loader=_Loader)  # noqa: S506 - a subclass of the safe loader that makes text only
    return _Reader(document).models()


class _Reader:
    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document
        self._lists: dict[str, list[str]] = document.get("lists", {})
        for name, members in self._lists.items():
            found = LIST_NAME.fullmatch(name)
            if not found or int(found[1]) != len(members) or len(set(members)) != len(members):
                raise NotationError(
                    f"The list {name} is not named by letters and by how many different members it has."
                )
        self._sizes = {name: _both_ways(table) for name, table in document.get("sizes", {}).items()}
        self._parameters: dict[str, Parameter] = {}  # by notation
        self._entries: dict[str, dict[str, Any]] = {}  # with what they inherit
        self._models: dict[str, Model] = {}

    def models(self) -> dict[str, Model]:
        groups = {
            name: self._read(f"the group {name}", group) for name, group in self._document.get("groups", {}).items()
        }
        for section, kind in _SECTIONS.items():
            base = self._document.get("every", {}).get(section, {})
            start = {**base, "input": self._read(f"every of the {section}", base.get("input", {}))}
            for name, entry in self._document.get(section, {}).items():
                self._entry(name, dict(entry), start, groups, kind)
        return self._models

    def _entry(
        self, name: str, entry: dict[str, Any], start: dict[str, Any], groups: Mapping[str, Any], kind: str
    ) -> None:
        if strange := sorted(set(entry) - _FIELDS):
            raise NotationError(f"{name} has {', '.join(strange)}, which no model has.")
        if "like" in entry and entry["like"] not in self._entries:
            raise NotationError(f"{name} is like {entry['like']}, which is not above it.")
        base = self._entries[entry["like"]] if "like" in entry else start
        parameters = dict(base["input"])
        for unwanted in entry.get("without", []):
            if parameters.pop(unwanted, None) is None:
                raise NotationError(f"{name} is without {unwanted}, which it would not have.")
        for group in entry.get("with", []):
            if group not in groups:
                raise NotationError(f"{name} names the group {group}, which does not exist.")
            parameters |= groups[group]
        parameters |= self._read(name, entry.get("input", {}))
        whole = {key: value for key, value in base.items() if key not in {"also", "like", "with", "without"}}
        whole |= entry | {"input": parameters}
        model = self._model(name, whole, kind)
        for one in (name, *entry.get("also", [])):
            if one in self._models:
                raise NotationError(f"{one} is described twice.")
            self._entries[one], self._models[one] = whole, model

    def _model(self, name: str, entry: Mapping[str, Any], kind: str) -> Model:
        parameters: dict[str, Parameter] = entry["input"]
        if entry.get("gives") not in _OUTPUTS:
            raise NotationError(f"{name} gives {entry.get('gives')!r}, which is no kind of output.")
        if entry.get("source", "") not in _SOURCES:
            raise NotationError(f"{name} has the source {entry['source']!r}, which is not one of the marks.")
        if "sizes" in entry and entry["sizes"] not in self._sizes:
            raise NotationError(f"{name} names the sizes {entry['sizes']}, which do not exist.")
        return Model(
            cast(Any, kind),
            entry["gives"],
            parameters,
            sizes=self._sizes.get(entry.get("sizes", "")),
            short_side=int(entry.get("short_side", 1024 if kind == "image" else 720)),
            duration_s=float(entry.get("seconds", 5)),
            flags_nsfw=kind == "image" and ("enable_safety_checker" in parameters or "flags_nsfw" in entry),
            community=tuple(entry.get("versions", ())),
            format=entry.get("format", "png"),
            fps=float(entry.get("fps", 16)),
            rules=tuple(_rule(name, rule, parameters) for rule in entry.get("rules", ())),
            source=entry.get("source", ""),
        )

    def _read(self, owner: str, notations: Mapping[str, str]) -> dict[str, Parameter]:
        read: dict[str, Parameter] = {}
        for name, notation in notations.items():
            required = name.endswith("!")
            key = f"{notation}!" if required else notation
            if key not in self._parameters:
                try:
                    self._parameters[key] = read_parameter(notation, self._lists, required=required)
                except NotationError as error:
                    raise NotationError(f"{owner}, {name}: {error}") from error
            read[name.removesuffix("!")] = self._parameters[key]
        return read


def _rule(owner: str, text: str, parameters: Mapping[str, Parameter]) -> Together:
    for word, needed in ((" not with ", False), (" needs ", True)):
        one, found, other = text.partition(word)
        if found:
            return Together(_condition(owner, one, parameters), _condition(owner, other, parameters), needed)
    raise NotationError(f"{owner} has the rule {text!r}, which says neither needs nor not with.")


def _condition(owner: str, text: str, parameters: Mapping[str, Parameter]) -> Condition:
    match = _CONDITION.fullmatch(text.strip())
    if match is None or match["name"] not in parameters:
        raise NotationError(f"{owner} has a rule about {text!r}, which is not a parameter.")
    return Condition(match["name"], tuple(match["values"].split("|")) if match["values"] else ())


def _both_ways(landscape: Mapping[str, str]) -> dict[str, tuple[int, int]]:
    pairs = {ratio: PIXELS.fullmatch(size) for ratio, size in landscape.items()}
    if not all(pairs.values()):
        raise NotationError("A size is not written as WxH.")
    sizes = {ratio: (int(pair[1]), int(pair[2])) for ratio, pair in pairs.items() if pair}
    portrait = {":".join(reversed(ratio.split(":"))): (high, wide) for ratio, (wide, high) in sizes.items()}
    return portrait | sizes
