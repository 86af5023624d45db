"""Faults of the simulated Stripe: rules that are set beforehand, matched by request or by event, and used up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sandbox.stripe.store import Store

WORDS: Mapping[str, str] = {
    # requests; `on` is "POST /v1/refunds", "POST *" or "*"
    "error_401": "the key is refused; nothing happens",
    "error_429": "throttled; nothing happens",
    "error_500": "an error before anything happens; a repeat is executed",
    "error_500_after": "an error after it happened; a repeat with the same key is told the 500 again",
    "reset_before": "the connection is reset; nothing happens",
    "answer_lost": "it happens, the connection is reset; a repeat with the same key is told the answer",
    "answer_hangs": "it happens, the answer never comes",
    "slow": "it happens after `seconds`; meanwhile its key is in use (409)",
    "key_in_use": "409, as if the same key were in flight",
    # webhooks; `on` is an event type, "invoice.*" or "*"
    "webhook_late": "sent after `seconds`",
    "webhook_duplicate": "sent twice",
    "webhook_dropped": "never sent; the event is listed",
    "webhook_reordered": "the next `count` matching events are kept until all are there, then sent in reverse",
    "webhook_forged": "a wrongly signed copy comes first",
}


@dataclass(frozen=True, slots=True)
class Fault:
    word: str
    on: str = "*"
    times: int | None = None  # None: until deleted
    seconds: float = 1.0
    count: int = 2

    def matches(self, subject: str) -> bool:
        return _matches(self.on, subject)


class Faults:
    def __init__(self, store: Store) -> None:
        self._store = store

    def configured(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._store.setting("faults", [])
        return found

    def configure(self, asked: list[Any]) -> None:
        """Replace all rules. Raises ValueError for one that is not understood."""
        for rule in asked:
            _checked(rule)
        self._store.set_setting("faults", asked)

    def take(self, prefix: str, subject: str) -> Fault | None:
        """The first rule that acts on this request ("POST /v1/refunds") or event; one of its times is used up."""
        rules = self.configured()
        for index, rule in enumerate(rules):
            fault = Fault(**rule)
            if fault.word.startswith("webhook_") == (prefix == "webhook_") and fault.matches(subject):
                if fault.times is not None:
                    rules[index] = {**rule, "times": fault.times - 1}
                    self._store.set_setting("faults", [one for one in rules if one.get("times") != 0])
                return fault
        return None


def _checked(rule: Any) -> None:
    if not isinstance(rule, dict) or not set(rule) <= {"word", "on", "times", "seconds", "count"}:
        raise ValueError("a rule is an object of word, on, times, seconds, count")
    if rule.get("word") not in WORDS:
        raise ValueError(f"unknown fault: {rule.get('word')!r}; known: {', '.join(WORDS)}")
    for name in ("times", "count"):
        if name in rule and not (type(rule[name]) is int and rule[name] > 0):
            raise ValueError(f"{name} is a whole number above 0")
    if not isinstance(rule.get("on", "*"), str) or not isinstance(rule.get("seconds", 1), int | float):
        raise ValueError("on is a text, seconds a number")  # noqa: TRY004


def _matches(pattern: str, subject: str) -> bool:
    """`*` at the end of a pattern stands for any rest."""
    return subject.startswith(pattern[:-1]) if pattern.endswith("*") else subject == pattern
