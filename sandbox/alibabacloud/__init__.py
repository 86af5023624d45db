"""The simulated Alibaba Cloud Model Studio (DashScope): tasks, and the synchronous call for images."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.routing import BaseRoute

from sandbox.alibabacloud.api import PREFIX, AlibabaCloudApi
from sandbox.alibabacloud.checking import refused
from sandbox.alibabacloud.models import PATHS
from sandbox.alibabacloud.tasks import flat
from sandbox.models import Models
from sandbox.simulated import Parts, Simulated

_FILES_LIVE_S = 86400.0


def _routes(parts: Parts) -> Sequence[BaseRoute]:
    return AlibabaCloudApi(parts).routes()


SIMULATED = Simulated(
    name="alibabacloud",
    title="Alibaba Cloud",
    addresses=(PREFIX,),
    models=Models({name: served.model for models in PATHS.values() for name, served in models.items()}),
    routes=_routes,
    violations=refused,
    files_live_s=_FILES_LIVE_S,
    flat=flat,
)
