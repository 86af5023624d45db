"""Ports are looked at before anything starts, so that a busy one is a sentence and not a stack trace in a log."""

from __future__ import annotations

import random
import socket
import time
from contextlib import closing
from dataclasses import fields, replace

from embedded.config import HOST, StackPorts
from embedded.errors import PortBusy

_FREE_RANGE = (15_000, 32_000)


def choose_ports(ports: StackPorts, *, patience_s: float = 0.0) -> StackPorts:
    """The same ports, each 0 replaced by a free one.

    Waits up to `patience_s` for a port to become free: the processes of a stack that was killed a moment ago may
    still be ending. Raises PortBusy, naming every busy port and how to change it.
    """
    deadline = time.monotonic() + patience_s
    while busy := _busy(ports):
        if time.monotonic() >= deadline:
            raise PortBusy("\n".join(busy))
        time.sleep(0.05)
    return _fill(ports)


def _busy(ports: StackPorts) -> list[str]:
    problems: list[str] = []
    taken: dict[int, str] = {}
    for port, number in ports.named().items():
        if number == 0:
            continue
        if number in taken:
            problems.append(
                f"Port {number} is asked for twice, by {taken[number]} and {port.part}: "
                f"choose another for one of them with {port.option} or {port.variable}."
            )
        elif not _free(number):
            problems.append(
                f"Port {number}, needed by {port.part}, is used by another program: "
                f"stop it, or choose another port with {port.option} or {port.variable}."
            )
        taken.setdefault(number, port.part)
    return problems


def _free(number: int) -> bool:
    with closing(_socket()) as probe:
        try:
            probe.bind((HOST, number))
        except OSError:
            return False
    return True


def free_ports(count: int) -> list[int]:
    """Ports that nothing uses, all different.

    Taken below the ranges from which Linux and macOS give ports to outgoing connections: one from there may be gone
    again before whoever asked has bound it.
    """
    candidates = random.SystemRandom().sample(range(*_FREE_RANGE), k=_FREE_RANGE[1] - _FREE_RANGE[0])
    found = [number for number, _ in zip(filter(_free, candidates), range(count), strict=False)]
    if len(found) < count:
        raise PortBusy(f"Fewer than {count} ports between {_FREE_RANGE[0]} and {_FREE_RANGE[1]} are free.")
    return found


def _fill(ports: StackPorts) -> StackPorts:
    wanted = [field.name for field in fields(ports) if getattr(ports, field.name) == 0]
    return replace(ports, **dict(zip(wanted, free_ports(len(wanted)), strict=True)))


def _socket() -> socket.socket:
    probe = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port in TIME_WAIT is free
    return probe
