"""What can be wrong with the books, in words: which account, which entry, what was expected and what is there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Found = Mapping[str, Any]  # a row of a query of ledger_verification.sql


@dataclass(frozen=True)
class Violation:
    """One thing that cannot be: `invariant` as the specification numbers it."""

    invariant: str
    account_id: str
    words: str
    entry_number: int | None = None
    work_id: str | None = None

    def __str__(self) -> str:
        return f"{self.invariant}: {self.words}"


def of_entry(found: Found) -> Violation:
    where = f"the {_ledger_account(found)} of account {found['account_id']}"
    expected = found["number_before"] + 1
    if found["number"] != expected:
        words = (
            f"In {where} entry {found['number']} follows entry {found['number_before']}: entry {expected} is missing."
        )
        return Violation("INV-20", found["account_id"], words, expected)
    should = found["balance_before"] + found["amount_micros"]
    words = (
        f"Entry {found['number']} of {where} moves {_credits(found['amount_micros'])} on a balance of "
        f"{_credits(found['balance_before'])}, which gives {_credits(should)}; it says "
        f"{_credits(found['balance_micros'])}."
    )
    return Violation("INV-4", found["account_id"], words, found["number"])


def of_transfer(
    account_id: str,
    transfer_id: int,
    amount_micros: int,
    debit: str,
    credit: str,
    debit_number: int,
    operation: str,
    once: bool,
) -> Violation:
    named = f"Transfer {transfer_id} of account {account_id} (entry {debit_number} of its {debit} balance)"
    if debit != credit and amount_micros > 0:
        says = "" if once else "not "
        words = f"{named} is a {operation}, and says that it is {says}of what a hold sees once at most."
        return Violation("INV-8", account_id, words, debit_number)
    words = f"{named} moves {_credits(amount_micros)} from {debit} to {credit}, which is no transfer."
    return Violation("INV-3", account_id, words, debit_number)


def of_balance(found: Found) -> Violation:
    words = (
        f"The {_ledger_account(found)} of account {found['account_id']} stands at {_credits(found['balance_micros'])} "
        f"after {found['entry_count']} entries; its entries are {found['told_count']} and sum to "
        f"{_credits(found['told_micros'])}."
    )
    return Violation("INV-4", found["account_id"], words, found["told_count"])


def of_limits(found: Found) -> Violation:
    owed = ("debt", "payment", "promotion")  # zero or below; the others zero or above
    kind = next(
        name.removesuffix("_micros")
        for name, micros in found.items()
        if name.endswith("_micros") and (micros > 0 if name.removesuffix("_micros") in owed else micros < 0)
    )
    words = (
        f"The {_ledger_account({**found, 'kind': kind})} of account {found['account_id']} stands at "
        f"{_credits(found[f'{kind}_micros'])}, which it may never."
    )
    return Violation("INV-1/INV-2", found["account_id"], words)


def of_sum(found: Found) -> Violation:
    words = (
        f"The ledger accounts of account {found['account_id']} sum to {_credits(found['total_micros'])}; "
        "all of them together must be zero."
    )
    return Violation("INV-6", found["account_id"], words)


def of_held(found: Found) -> Violation:
    words = (
        f"The {_ledger_account({**found, 'kind': 'held'})} of account {found['account_id']} stands at "
        f"{_credits(found['held_micros'])}; its {found['open_holds'] or 0} open holds sum to "
        f"{_credits(found['open_micros'])}."
    )
    return Violation("INV-5", found["account_id"], words)


def of_hold(found: Found) -> Violation:
    name = f"work {found['work_id']}, try {found['try_number']}, of account {found['account_id']}"
    if found["state"] is None:
        return Violation(
            "INV-15", found["account_id"], f"Credits moved for {name}; it has no hold.", work_id=found["work_id"]
        )
    parts = ("settled", "released", "shortfall", "refunded")
    said = ", ".join(f"{part} {_credits(found[f'{part}_micros'])}" for part in parts)
    told = ", ".join(
        f"{part} {_credits(found[part])}"
        for part in ("reserved", "settled", "released", "recollected", "shortfall", "refunded")
    )
    words = (
        f"The hold of {name} is {found['state']}: held {_credits(found['amount_micros'])}, {said}; its transfers say "
        f"{told}."
    )
    return Violation("INV-8/INV-11/INV-17", found["account_id"], words, work_id=found["work_id"])


def of_grant(found: Found) -> Violation:
    entry, account = found["number"], found["account_id"]
    if found["amount_micros"] is None:
        words = (
            f"Entry {entry} of the available balance of account {account} grants credits; nothing was granted under "
            "its key."
        )
    elif found["times"] != 1:
        words = f"The grant {found['key']!r} of account {account} moved credits {found['times']} times."
    else:
        words = (
            f"The grant {found['key']!r} of account {account} is of {_credits(found['amount_micros'])} from "
            f"{found['source']}; its transfer moved {_credits(found['moved_micros'])} from {found['moved_source']}."
        )
    return Violation("INV-7/INV-14", account, words, entry)


def of_operation(found: Found) -> Violation:
    account = found["account_id"]
    if found["operation"] is None:
        name = f"{found['moved_operation']} {found['key']!r}"
        words = f"Transfer {found['transfer_id']} of account {account} is of the {name}, which is written down nowhere."
    else:
        words = (
            f"The {found['operation']} {found['key']!r} of account {account} should have moved "
            f"{_credits(found['amount_micros'])}; its transfers moved {_credits(found['moved_micros'])}."
        )
    return Violation("INV-12/INV-14", account, words)


def of_payment(found: Found) -> Violation:
    words = (
        f"The payment {found['payment_key']!r} of account {found['account_id']} granted "
        f"{_credits(found['amount_micros'])}; {_credits(found['taken_micros'])} were taken back."
    )
    return Violation("INV-18", found["account_id"], words)


def of_lot(found: Found) -> Violation:
    if found["granted_micros"] is None:
        words = (
            f"{_credits(found['operations_micros'])} of account {found['account_id']} were burned for the lot "
            f"{found['lot_id']}, which there is not."
        )
    else:
        words = (
            f"The lot {found['lot_id']} of account {found['account_id']} is of {_credits(found['granted_micros'])} and "
            f"burned {_credits(found['burned_micros'])}; its grant is of {_credits(found['promised_micros'])}, and its "
            f"operations burned {_credits(found['operations_micros'])}."
        )
    return Violation("E16", found["account_id"], words)


def of_generation(found: Found) -> Violation:
    words = (
        f"Generation {found['generation_id']} of account {found['account_id']} is {found['status']} and its hold is "
        f"{found['state'] or 'missing'}."
    )
    if found["state"] == "settled" and found["status"] == "succeeded":
        words = (
            f"Generation {found['generation_id']} of account {found['account_id']} was charged "
            f"{_credits(found['settled_microcredits'])}; its hold settled {_credits(found['settled_micros'])}."
        )
    return Violation("INV-28/INV-29", found["account_id"], words, work_id=found["generation_id"])


def of_seal(name: str, difference: str) -> Violation:
    return Violation("R5", "", f"The sealed period {name} is not what it was: {difference}.")


def of_backdated(name: str, account_id: str, transfer_id: int) -> Violation:
    words = (
        f"Transfer {transfer_id} of account {account_id} says that it happened before the end of {name}, which was "
        "sealed without it."
    )
    return Violation("R5", account_id, words)


def _ledger_account(found: Found) -> str:
    shard = f" (part {found['shard']})" if found["shard"] else ""
    return f"{found['kind']} balance{shard}"


def _credits(micros: int | None) -> str:
    return "nothing" if micros is None else f"{micros:,} micro-credits"
