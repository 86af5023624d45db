"""The composition root: one application, one journal."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from starlette.applications import Starlette

from sandbox.callbacks import Bell
from sandbox.connection import ConnectionGoneError, say_nothing
from sandbox.control import Control
from sandbox.faults import UnknownFaultError
from sandbox.files import Gallery
from sandbox.jobs import Job
from sandbox.journal import Journal
from sandbox.media import Studio
from sandbox.problems import RefusalError, refusal_response, unknown_fault_response
from sandbox.registry import SIMULATED, model_of
from sandbox.simulated import Parts
from sandbox.sizes import MediaSpec, outputs
from sandbox.stripe import StripeService
from sandbox.submissions import Desk, Latencies


@dataclass(frozen=True)
class Options:
    data: Path
    latencies: Latencies = field(default_factory=Latencies)
    retention_s: float = 3600.0  # how long finished jobs and Replicate's files are kept
    retry_scale: float = 1.0  # factor on the pauses between attempts at a callback


def create_app(options: Options) -> Starlette:
    journal, studio = Journal(options.data), Studio()
    lifetimes = {
        name: options.retention_s if one.files_live_s is None else one.files_live_s for name, one in SIMULATED.items()
    }
    gallery = Gallery(journal, studio, lifetimes, _outputs)
    styles = {name: one.style(gallery, options.retention_s) for name, one in SIMULATED.items() if one.style}
    bell = Bell(journal, styles, retry_scale=options.retry_scale)
    desk = Desk(journal, bell, options.latencies, lambda provider, model: model_of(provider, model).kind)
    parts = Parts(journal, desk, bell, gallery, options.retention_s)
    services = [StripeService(options.data, retry_scale=options.retry_scale)]  # beside the providers

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        bell.resume()
        for service in services:
            service.resume()
        yield
        for service in services:
            await service.close()
        await bell.close()
        studio.close()
        journal.close()

    routes = [
        *(route for one in SIMULATED.values() for route in one.routes(parts)),
        *gallery.routes(),
        *Control(journal, bell).routes(),
        *(route for service in services for route in service.routes()),
    ]
    handlers = {
        RefusalError: refusal_response,
        UnknownFaultError: unknown_fault_response,
        ConnectionGoneError: say_nothing,
    }
    return Starlette(routes=routes, lifespan=lifespan, exception_handlers=handlers)


def _outputs(job: Job) -> list[MediaSpec]:
    return outputs(model_of(job.provider, job.endpoint), SIMULATED[job.provider].flat(job.input))
