"""The simulated providers as a set."""

from __future__ import annotations

from sandbox.faults import PROVIDERS
from sandbox.registry import SIMULATED


def test_faults_can_be_asked_of_exactly_the_providers_that_are_simulated():
    assert set(PROVIDERS) == set(SIMULATED)


def test_a_provider_stands_under_its_own_name():
    assert all(one.addresses[0].startswith(f"/{name}") for name, one in SIMULATED.items())
