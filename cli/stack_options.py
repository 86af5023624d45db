"""The options of every command that may start the embedded stack."""

from __future__ import annotations

from typing import Annotated

import typer

from embedded.config import API_PORT, SANDBOX_PORT, TEMPORAL_PORT, TEMPORAL_UI_PORT, Port


def _option(port: Port, what: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(
        port.option, envvar=port.variable, min=0, max=65535, help=f"Port of {what}; 0: any free one."
    )
    return option


ApiPort = Annotated[int, _option(API_PORT, "the API")]
TemporalPort = Annotated[int, _option(TEMPORAL_PORT, "the Temporal frontend")]
TemporalUiPort = Annotated[int, _option(TEMPORAL_UI_PORT, "the Temporal Web UI")]
SandboxPort = Annotated[int, _option(SANDBOX_PORT, "the simulated providers")]
