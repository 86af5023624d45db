"""The operator that a fresh stack comes with: named `local`, its key kept in the data folder for its owner alone."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from psycopg import AsyncConnection

from cli.operator_api import KEY_FILE
from domain.keys import RANDOM_BYTES
from domain.operators import mint_operator_key
from domain.sealing import Keys
from store import audit, operators
from store.operators import OperatorRow

NAME = "local"
ACTOR = "command line"  # in the audit log, for what is done on the database itself


async def prepare(database_url: str, root_secret: str, data: Path) -> None:
    """Make it when its key is missing. A key that was lost is revoked."""
    file = data / KEY_FILE
    if file.exists():
        return
    async with await AsyncConnection.connect(database_url) as conn:
        before = await operators.named(conn, NAME)
        if before is not None:
            await revoke(conn, before)
        _, key = await create(conn, root_secret, NAME)
    new = file.with_suffix(".new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(key + "\n")
    new.replace(file)


async def create(conn: AsyncConnection[Any], root_secret: str, name: str) -> tuple[OperatorRow, str]:
    """The operator and the key, inside the caller's transaction. Raises StateConflict when the name is taken."""
    minted = mint_operator_key(Keys.derived_from(root_secret).operator_keys, os.urandom(RANDOM_BYTES))
    made = await operators.create(conn, name, minted)
    await _note(conn, "operator.create", made)
    return made, minted.secret


async def revoke(conn: AsyncConnection[Any], row: OperatorRow) -> None:
    await operators.revoke(conn, row.operator_id)
    await _note(conn, "operator.revoke", row)


async def _note(conn: AsyncConnection[Any], action: str, row: OperatorRow) -> None:
    await audit.note(
        conn,
        actor=ACTOR,
        action=action,
        target_type="operator",
        target_id=row.operator_id,
        account_id=None,
        details={"name": row.name, "prefix": row.prefix},
    )
