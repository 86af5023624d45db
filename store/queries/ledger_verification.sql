-- name: snapshot
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY;

-- name: tuning
-- Batches are sorted in memory, and too small to be worth compiling.
SELECT set_config('work_mem', '64MB', true), set_config('jit', 'off', true);

-- name: extent
-- How much there is to read, as the planner knows it: for progress alone.
SELECT relname::text, greatest(reltuples, 0)::bigint
  FROM pg_catalog.pg_class
 WHERE oid IN ('ledger.transfers'::regclass, 'ledger.holds'::regclass, 'ledger.grants'::regclass,
               'store.generations'::regclass);

-- name: transfers_until
-- The last transfer of the next batch, in the order of accounts and then of commits. No row: the rest is one batch.
SELECT account_id::text, transfer_id
  FROM ledger.transfers
 WHERE (account_id, transfer_id) > (%(after_account)s::uuid, %(after_transfer)s::bigint)
   AND account_id <= %(last_account)s::uuid
 ORDER BY transfers.account_id, transfer_id  -- not the text
OFFSET %(rows)s::bigint - 1 LIMIT 1;

-- name: entries
-- One batch: each entry must follow the one before it, in number and in balance. `carried` is where the ledger accounts
-- stood whose entries the batches before have read in part. Answers the first violation, how many entries were read, and
-- where the ledger accounts of the last account stand now.
WITH carried AS (
    SELECT * FROM unnest(%(carried_kinds)s::text[], %(carried_shards)s::integer[], %(carried_numbers)s::bigint[],
                         %(carried_balances)s::bigint[])
               AS carried (kind, shard, number, balance_micros)
),
entry AS MATERIALIZED (
    SELECT entry.*,
           lag(number) OVER in_order AS number_before,
           lag(balance_micros) OVER in_order AS balance_before,
           lead(number) OVER in_order IS NULL AS is_last
      FROM (SELECT account_id, kind, shard, number, amount_micros, balance_micros, transfer_id
              FROM ledger.entries) AS entry
     WHERE (account_id, transfer_id) > (%(after_account)s::uuid, %(after_transfer)s::bigint)
       AND (account_id, transfer_id) <= (%(until_account)s::uuid, %(until_transfer)s::bigint)
    WINDOW in_order AS (PARTITION BY account_id, kind, entry.shard ORDER BY transfer_id, number)
),
broken AS (
    SELECT entry.account_id, entry.kind, entry.shard, entry.number, entry.amount_micros, entry.balance_micros,
           entry.transfer_id,
           coalesce(entry.number_before, carried.number, 0) AS number_before,
           coalesce(entry.balance_before, carried.balance_micros, 0) AS balance_before
      FROM entry
      LEFT JOIN carried
        ON entry.number_before IS NULL AND entry.account_id = %(carried_account)s::uuid
       AND carried.kind = entry.kind::text AND carried.shard = entry.shard
     WHERE entry.number IS DISTINCT FROM coalesce(entry.number_before, carried.number, 0) + 1
        OR entry.balance_micros IS DISTINCT FROM
           coalesce(entry.balance_before, carried.balance_micros, 0) + entry.amount_micros
     ORDER BY entry.account_id, entry.transfer_id, entry.amount_micros
     LIMIT 1
),
-- Where each ledger account stands after the batch. An account is whole when a later one was reached.
tail AS (
    SELECT account_id, kind::text AS kind, shard, number, balance_micros FROM entry WHERE is_last
     UNION ALL
    SELECT %(carried_account)s::uuid, carried.kind, carried.shard, carried.number, carried.balance_micros
      FROM carried
     WHERE NOT EXISTS (
           SELECT FROM entry
            WHERE entry.account_id = %(carried_account)s::uuid AND entry.kind::text = carried.kind
              AND entry.shard = carried.shard)
),
kept AS (
    SELECT account_id, of_kind.kind, shard, of_kind.balance_micros, of_kind.entry_count
      FROM ledger.books CROSS JOIN LATERAL (VALUES
               ('available', available_micros, available_entries),
               ('held', held_micros, held_entries),
               ('revenue', revenue_micros, revenue_entries),
               ('debt', debt_micros, debt_entries),
               ('disputed', disputed_micros, disputed_entries),
               ('clearing', clearing_micros, clearing_entries),
               ('payment', payment_micros, payment_entries),
               ('promotion', promotion_micros, promotion_entries),
               ('adjustment', adjustment_micros, adjustment_entries)
           ) AS of_kind (kind, balance_micros, entry_count)
     WHERE account_id > %(whole_after)s::uuid AND account_id <= %(last_account)s::uuid
       AND (%(rest)s::boolean OR account_id < %(until_account)s::uuid)
       AND (of_kind.balance_micros, of_kind.entry_count) <> (0, 0)
),
told AS (
    SELECT * FROM tail WHERE %(rest)s::boolean OR account_id < %(until_account)s::uuid
),
stored AS (
    SELECT coalesce(kept.account_id, told.account_id) AS account_id, coalesce(kept.kind, told.kind) AS kind,
           coalesce(kept.shard, told.shard) AS shard, coalesce(kept.balance_micros, 0) AS balance_micros,
           coalesce(kept.entry_count, 0) AS entry_count, coalesce(told.balance_micros, 0) AS told_micros,
           coalesce(told.number, 0) AS told_count
      FROM kept FULL JOIN told
        ON kept.account_id = told.account_id AND kept.kind = told.kind AND kept.shard = told.shard
     WHERE (kept.balance_micros, kept.entry_count) IS DISTINCT FROM (told.balance_micros, told.number)
     ORDER BY 1, 2, 3
     LIMIT 1
)
SELECT (SELECT count(*) FROM entry) AS entries,
       (SELECT to_jsonb(broken) FROM broken) AS broken,
       (SELECT to_jsonb(stored) FROM stored) AS stored,
       (SELECT coalesce(jsonb_agg(jsonb_build_array(kind, shard, number, balance_micros)), '[]')
          FROM tail WHERE NOT %(rest)s::boolean AND account_id = %(until_account)s::uuid) AS carried;

-- name: unbalanced
-- The first transfer of a batch that does not take from one ledger account what it gives to another, or that is in the
-- wrong one of the two indexes by which the others of a hold, or of an account, are found.
SELECT account_id::text, transfer_id, amount_micros, debit::text, credit::text, debit_number, operation::text, once
  FROM ledger.transfers
 WHERE (account_id, transfer_id) > (%(after_account)s::uuid, %(after_transfer)s::bigint)
   AND (account_id, transfer_id) <= (%(until_account)s::uuid, %(until_transfer)s::bigint)
   AND (debit = credit OR amount_micros <= 0 OR once <> (work_id IS NOT NULL AND operation <= 'grant'))
 ORDER BY transfers.account_id, transfer_id LIMIT 1;

-- name: holds_until
SELECT account_id::text, work_id::text, try_number
  FROM ledger.holds
 WHERE (account_id, work_id, try_number)
       > (%(after_account)s::uuid, %(after_work)s::uuid, %(after_try)s::integer)
   AND account_id <= %(last_account)s::uuid
 ORDER BY holds.account_id, holds.work_id, try_number
OFFSET %(rows)s::bigint - 1 LIMIT 1;

-- name: holds
-- One batch: the parts of each hold against its transfers. Answers how many holds and transfers these were, and the first
-- hold that differs.
WITH hold AS (
    SELECT * FROM ledger.holds
     WHERE (account_id, work_id, try_number)
           > (%(after_account)s::uuid, %(after_work)s::uuid, %(after_try)s::integer)
       AND (account_id, work_id, try_number)
           <= (%(until_account)s::uuid, %(until_work)s::uuid, %(until_try)s::integer)
),
moved AS (
    SELECT account_id, work_id, try_number,
           coalesce(sum(amount_micros) FILTER (WHERE operation = 'reserve'), 0) AS reserved,
           coalesce(sum(amount_micros) FILTER (WHERE operation = 'settle'), 0) AS settled,
           coalesce(sum(amount_micros) FILTER (WHERE operation IN ('release', 'expire')), 0) AS released,
           coalesce(sum(amount_micros) FILTER (WHERE operation = 'recollect'), 0) AS recollected,
           coalesce(sum(amount_micros) FILTER (WHERE operation = 'shortfall'), 0) AS shortfall
      FROM ledger.transfers
     WHERE once
       AND (account_id, work_id, try_number)
           > (%(after_account)s::uuid, %(after_work)s::uuid, %(after_try)s::integer)
       AND (account_id, work_id, try_number)
           <= (%(until_account)s::uuid, %(until_work)s::uuid, %(until_try)s::integer)
     GROUP BY account_id, work_id, try_number
),
back AS (
    SELECT account_id, work_id, try_number, sum(amount_micros) AS refunded
      FROM ledger.transfers
     WHERE NOT once AND work_id IS NOT NULL
       AND account_id BETWEEN %(after_account)s::uuid AND %(until_account)s::uuid
       AND (account_id, work_id, try_number)
           > (%(after_account)s::uuid, %(after_work)s::uuid, %(after_try)s::integer)
       AND (account_id, work_id, try_number)
           <= (%(until_account)s::uuid, %(until_work)s::uuid, %(until_try)s::integer)
     GROUP BY account_id, work_id, try_number
),
compared AS (
    SELECT account_id, work_id, try_number, hold.state, hold.amount_micros,
           hold.settled_micros, hold.released_micros, hold.shortfall_micros,
           hold.corrected_at IS NOT NULL AS corrected,
           coalesce(reserved, 0) AS reserved, coalesce(settled, 0) AS settled, coalesce(released, 0) AS released,
           coalesce(recollected, 0) AS recollected, coalesce(shortfall, 0) AS shortfall,
           hold.refunded_micros, coalesce(refunded, 0) AS refunded
      FROM hold FULL JOIN moved USING (account_id, work_id, try_number)
      LEFT JOIN back USING (account_id, work_id, try_number)
),
broken AS (
    SELECT * FROM compared
     WHERE state IS NULL  -- transfers without a hold
        OR reserved <> amount_micros
        OR (state <> 'held' AND settled_micros + released_micros <> amount_micros)
        OR (state = 'held' AND (settled_micros, released_micros, shortfall_micros) <> (0, 0, 0))
        OR refunded <> refunded_micros OR refunded > settled_micros
        OR (settled, released, recollected, shortfall) IS DISTINCT FROM (
               CASE WHEN state = 'held' OR corrected THEN 0 ELSE settled_micros END,
               CASE WHEN state = 'held' THEN 0 WHEN corrected THEN amount_micros ELSE released_micros END,
               CASE WHEN corrected THEN settled_micros - shortfall_micros ELSE 0 END,
               CASE WHEN corrected THEN shortfall_micros ELSE 0 END)
     ORDER BY account_id, work_id, try_number LIMIT 1
)
SELECT (SELECT count(*) FROM hold) AS holds, (SELECT to_jsonb(broken) FROM broken) AS broken;

-- name: held
-- The first book whose held balance is not the sum of its open holds (INV-5).
SELECT to_jsonb(differing) FROM (
    SELECT account_id, shard, coalesce(held_micros, 0) AS held_micros, coalesce(open_micros, 0) AS open_micros, open_holds
      FROM (SELECT account_id, shard, held_micros FROM ledger.books
             WHERE held_micros <> 0
               AND account_id BETWEEN %(first_account)s::uuid AND %(last_account)s::uuid) AS book
      FULL JOIN (SELECT account_id, shard, sum(amount_micros) AS open_micros, count(*) AS open_holds FROM ledger.holds
                  WHERE state = 'held' AND amount_micros > 0
                    AND account_id BETWEEN %(first_account)s::uuid AND %(last_account)s::uuid
                  GROUP BY account_id, shard) AS open USING (account_id, shard)
     WHERE held_micros IS DISTINCT FROM open_micros
     ORDER BY account_id, shard LIMIT 1) AS differing;

-- name: limits
-- The first book outside of what its kinds may be (INV-1, INV-2), and the first account that is not zero in all (INV-6).
SELECT (SELECT to_jsonb(beyond) FROM (
            SELECT account_id, shard, available_micros, held_micros, revenue_micros, debt_micros, disputed_micros,
                   clearing_micros, payment_micros, promotion_micros
              FROM ledger.books
             WHERE account_id BETWEEN %(first_account)s::uuid AND %(last_account)s::uuid
               AND (least(available_micros, held_micros, revenue_micros, disputed_micros, clearing_micros) < 0
                    OR greatest(debt_micros, payment_micros, promotion_micros) > 0)
             ORDER BY account_id, shard LIMIT 1) AS beyond),
       (SELECT to_jsonb(uneven) FROM (
            SELECT account_id,
                   sum(available_micros + held_micros + revenue_micros + debt_micros + disputed_micros
                       + clearing_micros + payment_micros + promotion_micros + adjustment_micros) AS total_micros
              FROM ledger.books
             WHERE account_id BETWEEN %(first_account)s::uuid AND %(last_account)s::uuid
             GROUP BY account_id
            HAVING sum(available_micros + held_micros + revenue_micros + debt_micros + disputed_micros
                       + clearing_micros + payment_micros + promotion_micros + adjustment_micros) <> 0
             ORDER BY account_id LIMIT 1) AS uneven);

-- name: grants
-- The first grant without exactly one transfer of the same account, amount and source, or such a transfer without a
-- grant (INV-7, INV-14); and how many grants there are.
WITH moved AS (
    SELECT key, count(*) AS times, min(account_id::text) AS account_id, sum(amount_micros) AS amount_micros,
           min(debit::text) AS source, min(credit_number) AS number
      FROM ledger.transfers
     WHERE NOT once AND operation = 'grant' AND account_id BETWEEN %(first_account)s::uuid AND %(last_account)s::uuid
     GROUP BY key
),
compared AS (
    SELECT coalesce(given.key, moved.key) AS key, coalesce(given.account_id::text, moved.account_id) AS account_id,
           given.amount_micros, given.source, coalesce(times, 0) AS times, moved.number,
           moved.amount_micros AS moved_micros, moved.source AS moved_source
      FROM (SELECT key, account_id, amount_micros, source::text FROM ledger.grants
             WHERE account_id BETWEEN %(first_account)s::uuid AND %(last_account)s::uuid) AS given
      FULL JOIN moved
        ON moved.key = given.key
     WHERE (moved.times, moved.account_id, moved.amount_micros, moved.source)
           IS DISTINCT FROM (1::bigint, given.account_id::text, given.amount_micros::numeric, given.source)
     ORDER BY key LIMIT 1
)
SELECT (SELECT count(*) FROM ledger.grants
         WHERE account_id BETWEEN %(first_account)s::uuid AND %(last_account)s::uuid) AS grants,
       (SELECT to_jsonb(compared) FROM compared) AS broken;

-- name: operations
-- The first operation with a key whose transfers are not of the amount that it says (INV-12), or such transfers without an
-- operation.
WITH moved AS (
    SELECT account_id, key, min(operation::text) AS operation, sum(amount_micros) AS amount_micros,
           min(transfer_id) AS transfer_id
      FROM ledger.transfers
     WHERE NOT once AND operation NOT IN ('grant', 'repay')
       AND account_id BETWEEN %(first_account)s::uuid AND %(last_account)s::uuid
     GROUP BY account_id, key
),
done AS (
    SELECT account_id, key, operation,
           CASE
               WHEN operation = 'dispute_hold' OR outcome = 'restored' THEN taken_micros
               ELSE abs(amount_micros)
           END AS amount_micros
      FROM ledger.keyed_operations
     WHERE account_id BETWEEN %(first_account)s::uuid AND %(last_account)s::uuid
)
SELECT to_jsonb(differing) FROM (
    SELECT account_id, key, done.operation, done.amount_micros, moved.operation AS moved_operation,
           coalesce(moved.amount_micros, 0) AS moved_micros, transfer_id
      FROM done FULL JOIN moved USING (account_id, key)
     WHERE done.amount_micros IS DISTINCT FROM coalesce(moved.amount_micros, 0)
     ORDER BY account_id, key LIMIT 1) AS differing;

-- name: payments
-- The first payment from which more was taken back than it granted (INV-18): by clawbacks in force, and by disputes that
-- are open or lost.
SELECT to_jsonb(overdrawn) FROM (
    SELECT back.account_id, back.payment_key, given.amount_micros, sum(back.amount_micros) AS taken_micros
      FROM ledger.keyed_operations AS back
      LEFT JOIN ledger.grants AS given ON (given.key, given.account_id) = (back.payment_key, back.account_id)
     WHERE back.payment_key IS NOT NULL
       AND back.account_id BETWEEN %(first_account)s::uuid AND %(last_account)s::uuid
       AND NOT EXISTS (SELECT FROM ledger.keyed_operations AS restored WHERE restored.clawback_key = back.key)
       AND NOT EXISTS (SELECT FROM ledger.keyed_operations AS won
                        WHERE won.dispute = back.dispute AND won.outcome = 'restored')
     GROUP BY back.account_id, back.payment_key, given.amount_micros
    HAVING coalesce(given.amount_micros, 0) < sum(back.amount_micros)
     ORDER BY back.account_id, back.payment_key LIMIT 1) AS overdrawn;

-- name: lots
-- The first lot that is not of its grant, or burned something else than its operations say, or an operation of no lot (E16).
SELECT to_jsonb(differing) FROM (
    SELECT coalesce(lot.account_id, burned.account_id) AS account_id, coalesce(lot.lot_id::text, burned.lot_id) AS lot_id,
           lot.granted_micros, lot.burned_micros, coalesce(burned.amount_micros, 0) AS operations_micros,
           CASE WHEN given.source = 'promotion' THEN given.amount_micros END AS promised_micros
      FROM (SELECT * FROM ledger.lots
             WHERE account_id BETWEEN %(first_account)s::uuid AND %(last_account)s::uuid) AS lot
      FULL JOIN (SELECT account_id, split_part(key, ':', 2) AS lot_id, sum(amount_micros) AS amount_micros
                   FROM ledger.keyed_operations
                  WHERE operation = 'burn' AND account_id BETWEEN %(first_account)s::uuid AND %(last_account)s::uuid
                  GROUP BY 1, 2) AS burned
        ON (burned.account_id, burned.lot_id) = (lot.account_id, lot.lot_id::text)
      LEFT JOIN ledger.grants AS given ON (given.key, given.account_id) = (lot.grant_key, lot.account_id)
     WHERE lot.lot_id IS NULL OR lot.burned_micros > lot.granted_micros
        OR lot.burned_micros <> coalesce(burned.amount_micros, 0)
        OR lot.granted_micros IS DISTINCT FROM CASE WHEN given.source = 'promotion' THEN given.amount_micros END
     ORDER BY 1, 2 LIMIT 1) AS differing;

-- name: generations_until
SELECT generation_id::text FROM store.generations
 WHERE generation_id > %(after)s::uuid
   AND account_id BETWEEN %(first_account)s::uuid AND %(last_account)s::uuid
 ORDER BY generations.generation_id
OFFSET %(rows)s::bigint - 1 LIMIT 1;

-- name: generations
-- One batch: how each generation stands against its hold (INV-28, INV-29): how many, and the first that differs.
WITH compared AS (
    SELECT generation_id, generation.account_id, generation.status, hold.state,
           generation.settled_microcredits, hold.settled_micros,
           CASE
               WHEN abandoned THEN hold.state IS NOT NULL
               WHEN generation.status = 'succeeded' THEN
                   hold.state IS DISTINCT FROM 'settled' OR hold.settled_micros <> settled_microcredits
               WHEN completed_at IS NOT NULL THEN hold.state IS NULL OR hold.state NOT IN ('released', 'expired')
               ELSE hold.state IS NULL OR hold.state NOT IN ('held', 'expired')
           END AS is_broken
      FROM store.generations AS generation
      LEFT JOIN ledger.holds AS hold
        ON (hold.account_id, hold.work_id, hold.try_number) = (generation.account_id, generation.generation_id, 1)
     WHERE generation_id > %(after)s::uuid AND generation_id <= %(until)s::uuid
       AND generation.account_id BETWEEN %(first_account)s::uuid AND %(last_account)s::uuid
)
SELECT (SELECT count(*) FROM compared),
       (SELECT to_jsonb(first_one) FROM (
            SELECT * FROM compared WHERE is_broken ORDER BY generation_id LIMIT 1) AS first_one);
