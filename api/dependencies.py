"""The handles that a route may ask for: the services, and a caller with the scope that the route needs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import HTTPBearer

from api.services import Services
from domain.keys import Scope
from store.keys import KeyOwner

_bearer_scheme = HTTPBearer(scheme_name="ApiKey", description="`Authorization: Bearer bye_...`", auto_error=False)


async def services(request: Request) -> Services:
    """Asynchronous although it waits for nothing: FastAPI would run a plain function in a thread."""
    found: Services = request.app.state.services
    return found


Handles = Annotated[Services, Depends(services)]


def caller_with(scope: Scope) -> Callable[..., Awaitable[KeyOwner]]:
    """The dependency that identifies the caller, then counts the request against the account's limit."""

    async def identified(
        request: Request, handles: Handles, _documented: Annotated[object, Security(_bearer_scheme)]
    ) -> KeyOwner:
        return await handles.authenticator.identify(request, scope)

    return identified


Writer = Annotated[KeyOwner, Depends(caller_with(Scope.GENERATION_WRITE))]
Reader = Annotated[KeyOwner, Depends(caller_with(Scope.GENERATION_READ))]
Remover = Annotated[KeyOwner, Depends(caller_with(Scope.GENERATION_DELETE))]
AccountReader = Annotated[KeyOwner, Depends(caller_with(Scope.ACCOUNT_READ))]
HealthReader = Annotated[KeyOwner, Depends(caller_with(Scope.HEALTH_READ))]
LibraryReader = Annotated[KeyOwner, Depends(caller_with(Scope.LIBRARY_READ))]
