"""Records the history of every scenario on a real server: `python -m tests.workflows.record_histories [NAME ...]`.

Run it for a new scenario only. The histories that are there stand for executions under way: an edit of a workflow must
replay them, not record them anew.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from tests.support.temporal import dev_server
from tests.workflows.scenarios import SCENARIOS

FOLDER = Path(__file__).parent / "histories"


async def record(chosen: list[str]) -> None:
    FOLDER.mkdir(exist_ok=True)
    async with dev_server() as server:
        for name in chosen:
            workflow_id = await SCENARIOS[name](server.client)
            history = await server.client.get_workflow_handle(workflow_id).fetch_history()
            document = {"workflow_id": workflow_id, "history": _without_the_machine(history.to_json_dict())}
            (FOLDER / f"{name}.json").write_text(json.dumps(document, indent=1, sort_keys=True) + "\n")
            print(f"{name}: {len(history.events)} events", flush=True)


def _without_the_machine(part: Any) -> Any:
    """Stack traces and worker identities name folders and hosts; replaying needs neither."""
    if isinstance(part, dict):
        return {
            key: _without_the_machine(value) for key, value in part.items() if key not in ("stackTrace", "identity")
        }
    if isinstance(part, list):
        return [_without_the_machine(value) for value in part]
    return part


if __name__ == "__main__":
    asyncio.run(record(sys.argv[1:] or [name for name in SCENARIOS if not (FOLDER / f"{name}.json").exists()]))
    sys.stdout.flush()
    os._exit(0)
