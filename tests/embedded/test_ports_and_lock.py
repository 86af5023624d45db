"""What is checked before anything starts."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from embedded.config import StackPorts
from embedded.errors import DataFolderInUse, PortBusy
from embedded.lock import DataLock, is_held
from embedded.ports import choose_ports, free_ports

ANY = StackPorts(api=0, temporal=0, temporal_ui=0, sandbox=0)


@pytest.fixture
def busy_port() -> Iterator[int]:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


def test_a_busy_port_is_named_with_its_part_and_both_ways_to_change_it(busy_port: int):
    with pytest.raises(PortBusy) as refused:
        choose_ports(StackPorts(api=0, temporal=0, temporal_ui=busy_port, sandbox=0))

    for word in (str(busy_port), "temporal-ui", "--temporal-ui-port", "BABYSEA_TEMPORAL_UI_PORT"):
        assert word in str(refused.value)


def test_every_busy_port_is_named_at_once(busy_port: int):
    with pytest.raises(PortBusy) as refused:
        choose_ports(StackPorts(api=busy_port, temporal=0, temporal_ui=0, sandbox=busy_port))

    assert "--api-port" in str(refused.value)
    assert "asked for twice" in str(refused.value)


def test_ports_that_are_free_are_kept_and_zero_becomes_a_free_one():
    chosen = choose_ports(ANY)

    assert len(set(chosen.named().values())) == 4
    assert 0 not in chosen.named().values()
    assert choose_ports(chosen) == chosen


def test_a_port_that_becomes_free_in_time_is_taken():
    other = socket.socket()
    other.bind(("127.0.0.1", 0))
    other.listen()
    ports = StackPorts(api=other.getsockname()[1], temporal=0, temporal_ui=0, sandbox=0)
    other.close()

    assert choose_ports(ports, patience_s=1.0).api == ports.api


def test_two_stacks_cannot_share_a_data_folder(tmp_path: Path):
    with DataLock(tmp_path):
        with pytest.raises(DataFolderInUse, match=r"--data or BABYSEA_DATA"):
            DataLock(tmp_path).take()
        assert is_held(tmp_path)

    assert not is_held(tmp_path)


def test_a_folder_without_a_stack_is_not_held(tmp_path: Path):
    assert not is_held(tmp_path)


def test_a_killed_supervisor_gives_the_folder_back(tmp_path: Path):
    program = (
        "import pathlib, signal; from embedded.lock import DataLock; "
        f"DataLock(pathlib.Path({str(tmp_path)!r})).take(); print('held', flush=True); signal.pause()"
    )
    holder = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    assert is_held(tmp_path)

    holder.kill()
    holder.wait()

    assert not is_held(tmp_path)
    lock = DataLock(tmp_path)
    assert not lock.take(), "its processes may still be ending"
    lock.give_back()
    assert lock.take()
    lock.give_back()


def test_free_ports_are_not_those_that_outgoing_connections_may_take():
    outgoing_from = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])

    chosen = free_ports(20)

    assert len(set(chosen)) == 20
    assert all(port < outgoing_from for port in chosen)
