"""Every crash (K), every comparison of the books (R) and the races of an end (C8 to C10): which test proves it.

`tests/store/test_ledger_items.py` asks that each number is named somewhere. Here it is said where, so that a proof that
is renamed or removed is missed.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]

SIMULATED = "ledger_proof/test_simulation.py::test_a_process_that_dies_there_again_and_again_leaves_one_charge_or_none"
KILLED = "store/test_crash.py::test_a_killed_database_loses_nothing_and_doubles_nothing"
CHAOS = "end_to_end/test_chaos.py::test_generations_survive_the_death_of_every_part"
RACES = "ledger_proof/test_races.py::test_whoever_ends_a_generation_first_decides_about_its_money"

PROOFS: dict[str, tuple[str, ...]] = {
    "K1": (SIMULATED, CHAOS),
    "K2": (SIMULATED, KILLED, CHAOS),
    "K3": (SIMULATED, CHAOS),
    "K4": (SIMULATED, CHAOS),
    "K5": (SIMULATED, CHAOS),
    "K6": (SIMULATED, CHAOS),
    "K7": (SIMULATED, KILLED, CHAOS),
    "K8": (SIMULATED, CHAOS),
    "K9": ("ledger_proof/test_simulation.py::test_a_process_that_dies_during_a_release_releases_once", CHAOS),
    "K10": (KILLED, CHAOS),
    "K11": ("ledger_proof/test_reset.py::test_a_workflow_that_is_reset_to_its_beginning_charges_nothing_more",),
    "K12": (
        "activities/test_reconciliation.py::test_an_overdue_hold_whose_workflow_is_gone_is_released_and_others_stay",
        "end_to_end/test_reconciliation.py::"
        "test_a_terminated_generation_fails_with_its_credits_back_and_a_running_one_goes_on",
    ),
    "K13": (
        "activities/test_reconciliation.py::test_an_overdue_hold_that_cannot_be_asked_about_blocks_none_behind_it",
        "activities/test_reconciliation.py::test_one_that_cannot_end_does_not_block_those_behind_it",
    ),
    "K14": ("store/test_alerts.py::test_a2_k14_the_alert_waits_in_the_outbox_until_a_step_of_the_account_rings_it",),
    "K15": (
        "billing/test_payments.py::test_c11_and_s13_one_event_twenty_times_at_once_is_one_grant",
        "billing/test_payments.py::test_k15_an_event_whose_webhook_was_lost_is_found_in_stripes_list",
    ),
    "K16": ("billing/test_payments.py::test_k16_and_r3_the_comparison_of_the_books_grants_exactly_what_is_missing",),
    "C8": (RACES,),
    "C9": (RACES,),
    "C10": (RACES,),
    "R1": (
        "ledger_proof/test_verify.py::test_every_kind_of_damage_is_found_and_named",
        "ledger_proof/test_scheduled.py::test_a_violation_is_an_alarm_in_record_log_and_metric_and_stops_nothing",
        "ledger_proof/test_incremental.py::test_every_kind_of_damage_to_what_is_new_is_found_as_by_a_full_verification",
        "ledger_proof/test_incremental.py::"
        "test_r1_after_any_history_what_is_new_gets_the_verdict_of_a_full_verification",
    ),
    "R2": ("ledger_proof/test_verify.py::test_every_kind_of_damage_is_found_and_named", CHAOS),
    "R3": ("billing/test_payments.py::test_k16_and_r3_the_comparison_of_the_books_grants_exactly_what_is_missing",),
    "R4": (
        "domain/test_provider_statements.py::test_r4_each_job_is_alike_or_differs_or_is_missing_on_one_side",
        "domain/test_provider_statements.py::test_r4_totals_add_up_each_job_is_in_one_class_and_no_order_matters",
        "store/test_costs.py::test_e17_r4_r6_costs_and_margins_are_the_same_after_their_records_are_gone",
        "cli/test_operator_commands.py::test_r4_a_statement_of_a_provider_is_held_against_what_was_recorded",
    ),
    "R5": (
        "ledger_proof/test_seals.py::test_r5_each_month_that_ended_is_sealed_once_and_goes_on_from_the_one_before",
        "ledger_proof/test_seals.py::test_r5_a_change_in_a_sealed_period_is_found_and_the_first_seal_named",
    ),
    "R6": (
        "ledger_proof/test_verify.py::test_good_books_are_read_whole_however_small_the_batches",
        "ledger_proof/test_seals.py::test_r6_a_sealed_period_is_reported_the_same_whatever_happens_later",
    ),
}

ITEMS = (*(f"K{n}" for n in range(1, 17)), "C8", "C9", "C10", *(f"R{n}" for n in range(1, 7)))


@cache
def known() -> frozenset[str]:
    """Every test as `folder/file.py::name`."""
    return frozenset(
        f"{path.relative_to(TESTS)}::{node.name}"
        for path in TESTS.rglob("test_*.py")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )


@pytest.mark.parametrize("item", ITEMS)
def test_each_item_has_its_proof(item: str) -> None:
    assert item in PROOFS, f"{item} has no proof"

    missing = [proof for proof in PROOFS[item] if proof not in known()]

    assert not missing, f"{item} was proven by {missing}"
