"""The composition root: one application, one journal."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from starlette.applications import Starlette

from sandbox.callbacks import Bell, Style
from sandbox.connection import ConnectionGoneError, say_nothing
from sandbox.control import Control
from sandbox.fal import FalQueue
from sandbox.fal_history import FalHistory
from sandbox.fal_result import FalRinging, Results
from sandbox.faults import UnknownFaultError
from sandbox.files import Gallery
from sandbox.journal import Journal
from sandbox.media import Studio
from sandbox.model_pages import ModelPages
from sandbox.prediction import Predictions, ReplicateRinging
from sandbox.problems import RefusalError, refusal_response, unknown_fault_response
from sandbox.replicate import ReplicateApi
from sandbox.submissions import Desk, Latencies

_FAL_FILES_LIVE_S = 7 * 86400.0


@dataclass(frozen=True)
class Options:
    data: Path
    latencies: Latencies = field(default_factory=Latencies)
    retention_s: float = 3600.0  # how long finished jobs and Replicate's files are kept
    retry_scale: float = 1.0  # factor on the pauses between attempts at a callback


def create_app(options: Options) -> Starlette:
    journal, studio = Journal(options.data), Studio()
    gallery = Gallery(journal, studio, {"replicate": options.retention_s, "fal": _FAL_FILES_LIVE_S})
    predictions, results = Predictions(gallery, options.retention_s), Results(gallery)
    styles: dict[str, Style] = {"replicate": ReplicateRinging(predictions), "fal": FalRinging(results)}
    bell = Bell(journal, styles, retry_scale=options.retry_scale)
    desk = Desk(journal, bell, options.latencies)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        bell.resume()
        yield
        await bell.close()
        studio.close()
        journal.close()

    routes = [
        *ReplicateApi(journal, desk, bell, predictions).routes(),
        *FalQueue(journal, desk, bell, results, options.retention_s).routes(),
        *gallery.routes(),
        *ModelPages(journal).routes(),
        *FalHistory(journal, results).routes(),
        *Control(journal, bell).routes(),
    ]
    handlers = {
        RefusalError: refusal_response,
        UnknownFaultError: unknown_fault_response,
        ConnectionGoneError: say_nothing,
    }
    return Starlette(routes=routes, lifespan=lifespan, exception_handlers=handlers)
