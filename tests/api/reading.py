"""Reading answers in tests."""

from __future__ import annotations

from typing import Any, TypeVar

import httpx
from pydantic import BaseModel

from api.schemas import Failure, Page, Success

Shape = TypeVar("Shape", bound=BaseModel)


def error_of(response: httpx.Response) -> tuple[int, str]:
    """Status and code of an answer that has the error envelope and nothing beside it."""
    failure = Failure.model_validate(response.json())
    assert response.headers["X-Request-Id"] == failure.request_id
    return response.status_code, failure.error.code


def refusal_of(response: httpx.Response) -> dict[str, Any]:
    """What the error envelope says."""
    error_of(response)
    said: dict[str, Any] = response.json()["error"]
    return said


def page_of(response: httpx.Response, shape: type[Shape]) -> dict[str, Any]:
    """The data of a page that has exactly the published shape."""
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    Page[shape].model_validate(body)  # type: ignore[valid-type]
    data: dict[str, Any] = body["data"]
    return data


def data_of(response: httpx.Response, shape: type[Shape]) -> dict[str, Any]:
    """The data of a success that has exactly the published shape."""
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    Success[shape].model_validate(body)  # type: ignore[valid-type]
    data: dict[str, Any] = body["data"]
    return data
