"""The operator API as the command line uses it: which system, with which key, and one sentence for what goes wrong."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.errors import CommandFailed, Refused

if TYPE_CHECKING:
    import httpx

API_URL_VARIABLE = "BABYSEA_API_URL"
OPERATOR_KEY_VARIABLE = "BABYSEA_OPERATOR_KEY"
KEY_FILE = "operator_key"  # in the data folder of an embedded stack
WHERE = (
    "Asks the operator API: that of the embedded stack, or the one that BABYSEA_API_URL and BABYSEA_OPERATOR_KEY name."
)
REQUEST_TIMEOUT_S = 30.0
PAGE = 100


@dataclass(frozen=True)
class Given:
    """What the options of `babysea` itself say, or the environment."""

    api_url: str | None = None
    operator_key: str | None = None


GIVEN: ContextVar[Given] = ContextVar("given")  # for all commands alike, so none takes it by itself


class OperatorApi:
    """Paths are below /admin/v1; answers are the `data` of the envelope. Raises CommandFailed; Refused by the API."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    @property
    def api_url(self) -> str:
        return str(self._http.base_url).removesuffix("/admin/v1/")

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        return self._data("GET", path, params={name: value for name, value in query.items() if value is not None})

    def post(self, path: str, **body: Any) -> dict[str, Any]:
        """Members that are None are left out."""
        return self._data("POST", path, json={name: value for name, value in body.items() if value is not None})

    def put(self, path: str, **body: Any) -> dict[str, Any]:
        return self._data("PUT", path, json=body)

    def stream(self, path: str, **query: Any) -> Iterator[str]:
        """An answer that is no JSON, as it comes."""
        import httpx

        params = {name: value for name, value in query.items() if value is not None}
        try:
            with self._http.stream("GET", path.removeprefix("/"), params=params) as response:
                if not response.is_success:
                    response.read()
                    raise Refused(response.json().get("error", {}))
                yield from response.iter_text()
        except httpx.TransportError as error:
            raise CommandFailed(f"The API at {self.api_url} does not answer ({type(error).__name__}).") from error

    def patch(self, path: str, **body: Any) -> dict[str, Any]:
        return self._data("PATCH", path, json=body)

    def delete(self, path: str) -> dict[str, Any]:
        return self._data("DELETE", path)

    def items(self, path: str, name: str, *, limit: int | None = None, **query: Any) -> list[dict[str, Any]]:
        """The whole list, page by page; with a limit, no more than that."""
        found: list[dict[str, Any]] = []
        while True:
            most = PAGE if limit is None else min(PAGE, limit - len(found))
            page = self.get(path, limit=most, offset=len(found), **query)[name]
            found += page
            if len(page) < most or len(found) == limit:
                return found

    def account(self, name: str) -> dict[str, Any]:
        """Raises CommandFailed when there is none of that name."""
        account = self.find_account(name)
        if account is None:
            raise CommandFailed(f"There is no account {name!r}. `babysea keys create --account {name}` makes one.")
        return account

    def find_account(self, name: str) -> dict[str, Any] | None:
        found: list[dict[str, Any]] = self.get("/accounts", name=name)["accounts"]
        return found[0] if found else None

    def _data(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        import httpx

        try:
            response = self._http.request(method, path.removeprefix("/"), **request)
        except httpx.TransportError as error:
            raise CommandFailed(f"The API at {self.api_url} does not answer ({type(error).__name__}).") from error
        try:
            answer: dict[str, Any] = response.json()
        except ValueError:
            raise CommandFailed(f"{self.api_url} answered HTTP {response.status_code} without JSON.") from None
        if not response.is_success:
            raise Refused(answer.get("error", {}))
        data: dict[str, Any] = answer["data"]
        return data


@contextmanager
def operator_api(data: Path) -> Iterator[OperatorApi]:
    """The API that the options, the environment or the embedded stack name. Raises CommandFailed."""
    import httpx

    api_url, key = _target(data)
    with httpx.Client(
        base_url=f"{api_url.rstrip('/')}/admin/v1/",
        headers={"authorization": f"Bearer {key}"},
        timeout=REQUEST_TIMEOUT_S,
        trust_env=False,
    ) as http:
        yield OperatorApi(http)


def _target(data: Path) -> tuple[str, str]:
    from cli.deployment import SettingsRefused, find

    given = GIVEN.get(Given())
    if given.api_url:
        return given.api_url, _key(given.operator_key, None)
    try:
        deployment = find(data)
    except SettingsRefused:
        raise CommandFailed(
            f"No embedded stack runs on {data}. Start one with `make run` (or `babysea up`), or name another system by "
            f"{API_URL_VARIABLE} and {OPERATOR_KEY_VARIABLE}."
        ) from None
    return deployment.api_url, _key(given.operator_key, data / KEY_FILE if deployment.stack else None)


def _key(given: str | None, file: Path | None) -> str:
    if given:
        return given
    if file is not None and file.exists():
        return file.read_text().strip()
    raise CommandFailed(f"Set {OPERATOR_KEY_VARIABLE}; `babysea operators create NAME` makes an operator with a key.")
