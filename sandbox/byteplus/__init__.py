"""The simulated BytePlus ModelArk: pictures in the answer, videos as tasks with unsigned callbacks."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.routing import BaseRoute, Route

from sandbox.byteplus.asked import flat
from sandbox.byteplus.checks import violations
from sandbox.byteplus.images import Images
from sandbox.byteplus.models import MODELS
from sandbox.byteplus.problems import guarded
from sandbox.byteplus.store import LIVES_S, ObjectStore
from sandbox.byteplus.tasks import Ringing, Tasks
from sandbox.byteplus.videos import Videos
from sandbox.files import Gallery
from sandbox.simulated import Parts, Simulated

PREFIX = "/byteplus/api/v3"
_TASKS = f"{PREFIX}/contents/generations/tasks"


def _routes(parts: Parts) -> Sequence[BaseRoute]:
    images = Images(parts.desk, parts.gallery)
    videos = Videos(parts.journal, parts.desk, parts.bell, Tasks(parts.gallery))
    return [
        Route(f"{PREFIX}/images/generations", guarded(images.generate), methods=["POST"]),
        Route(_TASKS, guarded(videos.create), methods=["POST"]),
        Route(_TASKS, guarded(videos.page)),
        Route(f"{_TASKS}/{{id}}", guarded(videos.read)),
        Route(f"{_TASKS}/{{id}}", guarded(videos.delete), methods=["DELETE"]),
        *ObjectStore(parts.journal, parts.gallery).routes(),
    ]


def _style(gallery: Gallery, retention_s: float) -> Ringing:  # noqa: ARG001 - its calls carry what does not expire
    return Ringing(Tasks(gallery))


SIMULATED = Simulated(
    name="byteplus",
    title="BytePlus ModelArk",
    addresses=(PREFIX,),
    models=MODELS,
    routes=_routes,
    violations=lambda model, _, given: violations(model, given),
    style=_style,
    files_live_s=float(LIVES_S),
    flat=flat,
)
