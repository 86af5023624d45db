"""`babysea plans`: what each plan of the deployment allows."""

from __future__ import annotations

from cli.deployment import DataOption, JsonOption
from cli.operator_api import operator_api
from cli.output import print_json, print_table
from embedded.config import DATA_DEFAULT


def plans(data: DataOption = DATA_DEFAULT, as_json: JsonOption = False) -> None:
    """List the plans: requests per minute, generations in flight, and for how long things are kept."""
    with operator_api(data) as api:
        found = api.items("/plans", "plans")
    if as_json:
        print_json(found)
        return
    print_table(
        ("plan", "requests/min", "images", "videos", "files kept", "records kept"),
        (
            (
                one["plan"],
                str(one["requests_per_minute"]),
                str(one["in_flight"]["image"]),
                str(one["in_flight"]["video"]),
                f"{one['retention_hours']['output_files']} h",
                f"{one['retention_hours']['generation_records'] // 24} d",
            )
            for one in found
        ),
    )
