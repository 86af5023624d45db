"""What a plan allows: requests per minute, generations in flight, and how long things are kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from domain.generation import MediaType

FALLBACK = "free"  # the plan of an account whose plan we do not know


@dataclass(frozen=True)
class Retention:
    """How long an account's things are kept after they were made."""

    output_files: timedelta
    generation_records: timedelta
    request_log: timedelta
    webhook_deliveries: timedelta


@dataclass(frozen=True)
class Plan:
    """`in_flight` has every media type: the most generations of it that may be pending or processing at once."""

    identifier: str
    label: str
    requests_per_minute: int
    in_flight: Mapping[MediaType, int]
    retention: Retention


@dataclass(frozen=True)
class Plans:
    """All plans of this deployment; `free` is among them."""

    by_identifier: Mapping[str, Plan]

    def of(self, name: str) -> Plan:
        """The plan that an account's plan name means.

        A name may carry the billing period: `Starter Monthly` is `starter`. An unknown one is `free`, the narrowest.
        """
        return self.by_identifier.get(name.strip().partition(" ")[0].lower()) or self.by_identifier[FALLBACK]
