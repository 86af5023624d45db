-- name: reserve
-- For store.connection.flushed_word, as the next.
SELECT ledger.reserve(%(account_id)s::uuid, %(work_id)s::uuid, %(try_number)s::integer, %(amount)s::bigint,
                      %(price_version)s::text, %(expires_at)s::timestamptz, %(key)s::text, %(flushes_after)s::boolean);

-- name: settle
SELECT ledger.settle(%(account_id)s::uuid, %(work_id)s::uuid, %(try_number)s::integer, %(amount)s::bigint,
                     %(flushes_after)s::boolean);

-- name: release
SELECT ledger.release(%(account_id)s::uuid, %(work_id)s::uuid, %(try_number)s::integer, %(reason)s::text);

-- name: grant
SELECT word, differs
  FROM ledger.grant_credits(%(account_id)s::uuid, %(amount)s::bigint, %(source)s::ledger.account_kind, %(key)s::text,
                            %(note)s::text);

-- name: refund_settled
SELECT word, differs
  FROM ledger.refund_settled(%(account_id)s::uuid, %(work_id)s::uuid, %(try_number)s::integer, %(amount)s::bigint,
                             %(actor)s::text, %(reason)s::text, %(key)s::text);

-- name: balance
-- Null for an unknown account. The entry number is the one of the available balance.
SELECT sum(available_micros)::bigint AS available, sum(held_micros)::bigint AS held, -sum(debt_micros)::bigint AS debt,
       sum(available_entries)::bigint AS entry_number, sum(disputed_micros)::bigint AS disputed
  FROM ledger.books
 WHERE account_id = %(account_id)s::uuid;

-- name: balance_at
SELECT available, held, debt, entry_number, disputed
  FROM ledger.balance_at(%(account_id)s::uuid, %(at)s::timestamptz);

-- name: entries
-- Newest first. The cursor is a transfer id, which rises in commit order within an account.
SELECT transfer_id, number, amount_micros, balance_micros, operation::text, work_id::text, try_number, key, cause,
       created_at
  FROM ledger.entries
 WHERE account_id = %(account_id)s::uuid AND kind = %(kind)s::ledger.account_kind
   AND (%(operation)s::ledger.operation IS NULL OR operation = %(operation)s::ledger.operation)
   AND (%(before)s::bigint IS NULL OR transfer_id < %(before)s::bigint)
 ORDER BY transfer_id DESC
 LIMIT %(limit)s::bigint;

-- name: page
-- Newest first.
SELECT transfer_id, number, amount_micros, balance_micros, operation::text, work_id::text, try_number, key, cause,
       created_at
  FROM ledger.entries
 WHERE account_id = %(account_id)s::uuid AND kind = 'available'
 ORDER BY transfer_id DESC
 LIMIT %(limit)s OFFSET %(offset)s;

-- name: hold
SELECT account_id::text, work_id::text, try_number, amount_micros, state::text, settled_micros, released_micros,
       shortfall_micros, price_version, opened_at, expires_at, ended_at, corrected_at, reason, refunded_micros, shard
  FROM ledger.holds
 WHERE (account_id, work_id, try_number) = (%(account_id)s::uuid, %(work_id)s::uuid, %(try_number)s::integer);

-- name: overdue
-- Open holds whose deadline has passed, oldest first, after the cursor: one that cannot be ended hides none behind it.
SELECT account_id::text, work_id::text, try_number, amount_micros, state::text, settled_micros, released_micros,
       shortfall_micros, price_version, opened_at, expires_at, ended_at, corrected_at, reason, refunded_micros, shard
  FROM ledger.holds
 WHERE state = 'held' AND expires_at <= clock_timestamp()
   AND (%(after_expires_at)s::timestamptz IS NULL
        OR (expires_at, work_id, try_number)
           > (%(after_expires_at)s::timestamptz, %(after_work_id)s::uuid, %(after_try_number)s::integer))
 ORDER BY expires_at, work_id, try_number
 LIMIT %(limit)s::bigint;
