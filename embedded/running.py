"""The note a running stack leaves in its data folder, so that other commands find it."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from embedded.config import StackConfig, StackPorts, environment
from embedded.lock import is_held

FILE_NAME = "stack.json"


@dataclass(frozen=True)
class RunningStack:
    """Where the parts of a healthy stack are. Holds no secrets: those stay in files of their own."""

    config: StackConfig
    database_url: str
    supervisor_pid: int
    pids: dict[str, int] = field(default_factory=dict)

    def settings_environment(self) -> dict[str, str]:
        return environment(self.config, self.database_url)

    def write(self) -> None:
        path = self.config.data / FILE_NAME
        addresses = {
            "api": self.config.api_url,
            "temporal": self.config.temporal_address,
            "temporal_ui": self.config.temporal_ui_url,
            "sandbox": self.config.sandbox_url,
        }
        content = {
            "supervisor_pid": self.supervisor_pid,
            "pids": self.pids,
            "addresses": addresses,
            "ports": asdict(self.config.ports),
            "database_url": self.database_url,
        }
        new = path.with_suffix(".json.new")
        new.write_text(json.dumps(content, indent=2) + "\n")
        os.replace(new, path)  # noqa: PTH105 - readers see the old note or the new one, whole


def find(data: Path) -> RunningStack | None:
    """The healthy stack that runs on this folder, if there is one. A note left by a killed stack does not count."""
    if not is_held(data):
        return None
    try:
        content: dict[str, Any] = json.loads((data / FILE_NAME).read_text())
    except FileNotFoundError:
        return None  # still starting
    return RunningStack(
        config=StackConfig(data=data, ports=StackPorts(**content["ports"])),
        database_url=content["database_url"],
        supervisor_pid=content["supervisor_pid"],
        pids=content["pids"],
    )


def forget(data: Path) -> None:
    (data / FILE_NAME).unlink(missing_ok=True)
