-- What came after the checkpoint: its transfers, and what may have changed beside them. `OFFSET 0` keeps the planner from
-- reading all of history, whatever it believes: for each account it looks into the primary key, from the border on.

-- name: snapshot
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ;

-- name: checkpoint
SELECT up_to_transfer, taken_at, full_at FROM ledger.checkpoints;

-- name: keep_checkpoint
SELECT ledger.keep_checkpoint(%(border)s, %(taken_at)s, %(is_full)s);

-- name: drop_checkpoint
SELECT ledger.drop_checkpoint();

-- name: entries
-- Each new entry must follow the one before it, in number and in balance, from the checkpoint on; and every balance is
-- what the last of them says, or else the checkpoint. Answers how many new entries there are, and the first transfer that
-- is none, the first entry that does not follow, and the first balance that differs.
WITH transfer AS MATERIALIZED (
    SELECT new.* FROM (SELECT account_id FROM ledger.books WHERE shard = 0
                        UNION SELECT account_id FROM store.accounts) AS account
     CROSS JOIN LATERAL (
           SELECT * FROM ledger.transfers AS transfer
            WHERE transfer.account_id = account.account_id AND transfer.transfer_id > %(border)s::bigint OFFSET 0) AS new
),
leg AS (
    SELECT account_id, debit AS kind, debit_number AS number, -amount_micros AS amount_micros,
           debit_balance_micros AS balance_micros, transfer_id,
           CASE WHEN debit IN ('held', 'revenue') THEN shard ELSE 0::smallint END AS shard
      FROM transfer
     UNION ALL
    SELECT account_id, credit, credit_number, amount_micros, credit_balance_micros, transfer_id,
           CASE WHEN credit IN ('held', 'revenue') THEN shard ELSE 0::smallint END
      FROM transfer
),
entry AS MATERIALIZED (
    SELECT leg.*,
           coalesce(lag(leg.number) OVER in_order, known.number, 0) AS number_before,
           coalesce(lag(leg.balance_micros) OVER in_order, known.balance_micros, 0) AS balance_before,
           lead(leg.number) OVER in_order IS NULL AS is_last
      FROM leg LEFT JOIN ledger.checkpoint_balances AS known USING (account_id, kind, shard)
    WINDOW in_order AS (PARTITION BY leg.account_id, leg.kind, leg.shard ORDER BY leg.transfer_id, leg.number)
),
unbalanced AS (
    SELECT account_id::text, transfer_id, amount_micros, debit::text, credit::text, debit_number, operation::text, once
      FROM transfer
     WHERE debit = credit OR amount_micros <= 0 OR once <> (work_id IS NOT NULL AND operation <= 'grant')
     ORDER BY transfer.account_id, transfer_id LIMIT 1
),
broken AS (
    SELECT account_id, kind, shard, number, amount_micros, balance_micros, transfer_id, number_before, balance_before
      FROM entry
     WHERE number IS DISTINCT FROM number_before + 1
        OR balance_micros IS DISTINCT FROM balance_before + amount_micros
     ORDER BY account_id, transfer_id, amount_micros LIMIT 1
),
told AS (
    SELECT account_id, kind, shard, coalesce(last_one.number, known.number) AS number,
           coalesce(last_one.balance_micros, known.balance_micros) AS balance_micros
      FROM ledger.checkpoint_balances AS known
      FULL JOIN (SELECT account_id, kind, shard, number, balance_micros FROM entry WHERE is_last) AS last_one
          USING (account_id, kind, shard)
),
stored AS (
    SELECT account_id, kind, shard, coalesce(kept.balance_micros, 0) AS balance_micros,
           coalesce(kept.number, 0) AS entry_count, coalesce(told.balance_micros, 0) AS told_micros,
           coalesce(told.number, 0) AS told_count
      FROM (SELECT * FROM ledger.balances WHERE (number, balance_micros) <> (0, 0)) AS kept
      FULL JOIN told USING (account_id, kind, shard)
     WHERE (kept.number, kept.balance_micros) IS DISTINCT FROM (told.number, told.balance_micros)
     ORDER BY account_id, kind::text, shard LIMIT 1
)
SELECT (SELECT count(*) FROM entry) AS entries,
       (SELECT to_jsonb(unbalanced) FROM unbalanced) AS unbalanced,
       (SELECT to_jsonb(broken) FROM broken) AS broken,
       (SELECT to_jsonb(stored) FROM stored) AS stored;

-- name: holds
-- The holds that are open, that were at the checkpoint, or that a new transfer is of: their parts against their
-- transfers, which are the new ones and what the checkpoint knows. Answers how many these are, the first that differs,
-- and those that had ended before the checkpoint, or of which there is no transfer: they are looked at one by one.
WITH moved AS (
    SELECT account_id, work_id, try_number,
           coalesce(sum(amount_micros) FILTER (WHERE operation = 'reserve'), 0) AS reserved,
           coalesce(sum(amount_micros) FILTER (WHERE operation = 'settle'), 0) AS settled,
           coalesce(sum(amount_micros) FILTER (WHERE operation IN ('release', 'expire')), 0) AS released,
           coalesce(sum(amount_micros) FILTER (WHERE operation = 'recollect'), 0) AS recollected,
           coalesce(sum(amount_micros) FILTER (WHERE operation = 'shortfall'), 0) AS shortfall,
           coalesce(sum(amount_micros) FILTER (WHERE operation = 'refund'), 0) AS refunded
      FROM (SELECT account_id AS of_account FROM ledger.books WHERE shard = 0
             UNION SELECT account_id FROM store.accounts) AS account
     CROSS JOIN LATERAL (
           SELECT * FROM ledger.transfers AS transfer
            WHERE transfer.account_id = of_account AND transfer.transfer_id > %(border)s::bigint OFFSET 0) AS new
     WHERE work_id IS NOT NULL
     GROUP BY account_id, work_id, try_number
),
looked_at AS (
    SELECT account_id, work_id, try_number FROM moved
     UNION SELECT account_id, work_id, try_number FROM ledger.checkpoint_holds
     UNION SELECT account_id, work_id, try_number FROM ledger.holds WHERE state = 'held' AND amount_micros > 0
),
compared AS MATERIALIZED (
    SELECT account_id, work_id, try_number, hold.state, hold.amount_micros,
           hold.settled_micros, hold.released_micros, hold.shortfall_micros,
           hold.corrected_at IS NOT NULL AS corrected, hold.refunded_micros,
           coalesce(moved.reserved, 0) + coalesce(known.reserved_micros, 0) AS reserved,
           coalesce(moved.settled, 0) + coalesce(known.settled_micros, 0) AS settled,
           coalesce(moved.released, 0) + coalesce(known.released_micros, 0) AS released,
           coalesce(recollected, 0) AS recollected, coalesce(shortfall, 0) AS shortfall,
           coalesce(refunded, 0) AS refunded
      FROM looked_at
      LEFT JOIN LATERAL (
           SELECT * FROM ledger.holds AS hold
            WHERE (hold.account_id, hold.work_id, hold.try_number)
                  = (looked_at.account_id, looked_at.work_id, looked_at.try_number) OFFSET 0) AS hold
          USING (account_id, work_id, try_number)
      LEFT JOIN moved USING (account_id, work_id, try_number)
      LEFT JOIN ledger.checkpoint_holds AS known USING (account_id, work_id, try_number)
),
broken AS (
    SELECT * FROM compared
     WHERE reserved > 0
       AND (state IS NULL
            OR reserved <> amount_micros
            OR (state <> 'held' AND settled_micros + released_micros <> amount_micros)
            OR (state = 'held' AND (settled_micros, released_micros, shortfall_micros) <> (0, 0, 0))
            OR refunded <> refunded_micros OR refunded > settled_micros
            OR (settled, released, recollected, shortfall) IS DISTINCT FROM (
                   CASE WHEN state = 'held' OR corrected THEN 0 ELSE settled_micros END,
                   CASE WHEN state = 'held' THEN 0 WHEN corrected THEN amount_micros ELSE released_micros END,
                   CASE WHEN corrected THEN settled_micros - shortfall_micros ELSE 0 END,
                   CASE WHEN corrected THEN shortfall_micros ELSE 0 END))
     ORDER BY account_id, work_id, try_number LIMIT 1
)
SELECT (SELECT count(*) FROM compared) AS holds,
       (SELECT to_jsonb(broken) FROM broken) AS broken,
       (SELECT coalesce(jsonb_agg(jsonb_build_array(account_id, work_id, try_number)
                                  ORDER BY account_id, work_id, try_number), '[]')
          FROM compared WHERE reserved = 0) AS older;

-- name: accounts_with_rarer_operations
-- Whoever had credits granted, refunded, taken back, disputed or adjusted: all such operations of theirs are looked at.
SELECT account_id::text
  FROM (SELECT account_id AS of_account FROM ledger.books WHERE shard = 0
         UNION SELECT account_id FROM store.accounts) AS account
 CROSS JOIN LATERAL (
       SELECT account_id, operation FROM ledger.transfers AS transfer
        WHERE transfer.account_id = of_account AND transfer.transfer_id > %(border)s::bigint OFFSET 0) AS new
 WHERE operation >= 'grant'
 UNION SELECT account_id::text FROM ledger.grants WHERE created_at >= %(since)s::timestamptz
 UNION SELECT account_id::text FROM ledger.keyed_operations WHERE created_at >= %(since)s::timestamptz
 ORDER BY 1;

-- name: generations
-- Generations that are under way, that ended since, or whose holds moved: how many, and the first that differs.
WITH looked_at AS (
    SELECT generation_id FROM store.generations WHERE completed_at IS NULL
     UNION SELECT generation_id FROM store.generations WHERE completed_at >= %(since)s::timestamptz
     UNION
    SELECT work_id
      FROM (SELECT account_id AS of_account FROM ledger.books WHERE shard = 0
             UNION SELECT account_id FROM store.accounts) AS account
     CROSS JOIN LATERAL (
           SELECT work_id FROM ledger.transfers AS transfer
            WHERE transfer.account_id = of_account AND transfer.transfer_id > %(border)s::bigint OFFSET 0) AS new
),
compared AS MATERIALIZED (
    SELECT generation.generation_id, generation.account_id, generation.status, hold.state,
           generation.settled_microcredits, hold.settled_micros,
           CASE
               WHEN abandoned THEN hold.state IS NOT NULL
               WHEN generation.status = 'succeeded' THEN
                   hold.state IS DISTINCT FROM 'settled' OR hold.settled_micros <> settled_microcredits
               WHEN completed_at IS NOT NULL THEN hold.state IS NULL OR hold.state NOT IN ('released', 'expired')
               ELSE hold.state IS NULL OR hold.state NOT IN ('held', 'expired')
           END AS is_broken
      FROM looked_at
     CROSS JOIN LATERAL (
           SELECT * FROM store.generations AS one WHERE one.generation_id = looked_at.generation_id OFFSET 0) AS generation
      LEFT JOIN LATERAL (
           SELECT state, settled_micros FROM ledger.holds AS one
            WHERE (one.account_id, one.work_id, one.try_number) = (generation.account_id, generation.generation_id, 1)
           OFFSET 0) AS hold ON true
)
SELECT (SELECT count(*) FROM compared),
       (SELECT to_jsonb(first_one) FROM (
            SELECT * FROM compared WHERE is_broken ORDER BY generation_id LIMIT 1) AS first_one);
