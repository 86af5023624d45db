"""The simulated providers as a set."""

from __future__ import annotations

from adapters.providers.registry import KINDS
from sandbox.faults import PROVIDERS
from sandbox.registry import SIMULATED
from tests.support.catalog import CATALOG


def test_faults_can_be_asked_of_exactly_the_providers_that_are_simulated():
    assert set(PROVIDERS) == set(SIMULATED)


def test_the_catalogue_names_exactly_the_providers_that_have_an_adapter_and_are_simulated():
    assert set(CATALOG.providers) == set(KINDS) == set(SIMULATED)


def test_a_provider_stands_under_its_own_name():
    assert all(one.addresses[0].startswith(f"/{name}") for name, one in SIMULATED.items())
