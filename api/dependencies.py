"""The handles that a route may ask for: the services, and a caller with the scope that the route needs."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase

from api.services import Services
from domain.keys import Scope
from store.keys import KeyOwner


async def services(request: Request) -> Services:
    """Asynchronous although it waits for nothing: FastAPI would run a plain function in a thread.

    What is polled calls it without Depends, which takes a twentieth of such a request.
    """
    found: Services = request.app.state.services
    return found


Handles = Annotated[Services, Depends(services)]


class CallerWith(SecurityBase):
    """The dependency that identifies the caller, who needs this scope; it also documents how.

    It has no dependencies of its own: FastAPI would resolve each of them for every request.
    """

    model = HTTPBearer(description="`Authorization: Bearer bye_...`")
    scheme_name = "ApiKey"

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def __call__(self, request: Request) -> KeyOwner:
        """Raises what `Authenticator.identify` raises."""
        handles = await services(request)
        return await handles.authenticator.identify(request, self._scope)


Writer = Annotated[KeyOwner, Security(CallerWith(Scope.GENERATION_WRITE))]
Reader = Annotated[KeyOwner, Security(CallerWith(Scope.GENERATION_READ))]
Remover = Annotated[KeyOwner, Security(CallerWith(Scope.GENERATION_DELETE))]
AccountReader = Annotated[KeyOwner, Security(CallerWith(Scope.ACCOUNT_READ))]
Buyer = Annotated[KeyOwner, Security(CallerWith(Scope.BILLING_WRITE))]
HealthReader = Annotated[KeyOwner, Security(CallerWith(Scope.HEALTH_READ))]
LibraryReader = Annotated[KeyOwner, Security(CallerWith(Scope.LIBRARY_READ))]
