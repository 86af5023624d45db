"""The command line, to speak with the stack that the tests share."""

from __future__ import annotations

from collections.abc import Callable
from subprocess import CompletedProcess

import pytest

from tests.cli.running import environment
from tests.support.commands import forked
from tests.support.stack import StackProcess


@pytest.fixture
def command(stack: StackProcess) -> Callable[..., CompletedProcess[str]]:
    surroundings = {"environment": environment(), "folder": stack.data.parent}
    return lambda *arguments: forked(*arguments, "--data", str(stack.data), **surroundings)
