"""Query parameters as routes declare them."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator

_WHOLE = re.compile(r"[+-]?[0-9]+\Z", re.ASCII)


def _whole(value: Any) -> Any:
    """Raises ValueError for what pydantic would read as an integer although it is spelled otherwise: `7.0`, `1_0`."""
    if isinstance(value, str) and not _WHOLE.match(value):
        raise ValueError("not a whole number")
    return value


WholeNumber = Annotated[int, BeforeValidator(_whole)]
