-- name: violations
-- Every invariant recomputed from the rows, in one statement and so against one snapshot. No row: all is well.
WITH entry AS (
    SELECT account_id, kind, shard, number, amount_micros, balance_micros, transfer_id,
           sum(amount_micros) OVER in_order AS running_micros,
           row_number() OVER in_order AS position,
           lag(transfer_id) OVER in_order AS previous_transfer_id
      FROM ledger.entries
    WINDOW in_order AS (PARTITION BY account_id, kind, shard ORDER BY number)
),
total AS (
    SELECT account_id, kind, shard, sum(amount_micros) AS amount_micros, count(*) AS entries
      FROM entry GROUP BY account_id, kind, shard
),
account AS (
    SELECT account_id, shard, kind, balance_micros, entry_count
      FROM ledger.books CROSS JOIN LATERAL (VALUES
               ('available'::ledger.account_kind, available_micros, available_entries),
               ('held', held_micros, held_entries),
               ('revenue', revenue_micros, revenue_entries),
               ('debt', debt_micros, debt_entries),
               ('disputed', disputed_micros, disputed_entries),
               ('clearing', clearing_micros, clearing_entries),
               ('payment', payment_micros, payment_entries),
               ('promotion', promotion_micros, promotion_entries),
               ('adjustment', adjustment_micros, adjustment_entries)
           ) AS of_kind (kind, balance_micros, entry_count)
),
leg AS (  -- of the operations with a key, as one signed sum per route
    SELECT account_id, key, operation, debit, sum(amount_micros) AS amount_micros
      FROM ledger.transfers WHERE operation > 'grant' AND operation <> 'repay' GROUP BY account_id, key, operation, debit
),
done AS (  -- and what their rows say should have moved
    SELECT account_id, key, 'claw_back'::ledger.operation AS operation, 'available'::ledger.account_kind AS debit,
           taken_micros AS amount_micros
      FROM ledger.keyed_operations WHERE operation = 'claw_back'
    UNION ALL
    SELECT account_id, key, 'claw_back', 'debt', amount_micros - taken_micros
      FROM ledger.keyed_operations WHERE operation = 'claw_back'
    UNION ALL
    SELECT account_id, key, 'refund', 'revenue', amount_micros FROM ledger.keyed_operations WHERE operation = 'refund'
    UNION ALL
    SELECT account_id, key, 'restore', 'clearing', amount_micros
      FROM ledger.keyed_operations WHERE operation = 'restore_clawback'
    UNION ALL
    SELECT account_id, key, 'dispute', 'available', taken_micros
      FROM ledger.keyed_operations WHERE operation = 'dispute_hold'
    UNION ALL
    SELECT account_id, key, 'restore', 'disputed', taken_micros
      FROM ledger.keyed_operations WHERE operation = 'dispute_end' AND outcome = 'restored'
    UNION ALL
    SELECT ended.account_id, ended.key, 'lose', part.debit::ledger.account_kind, part.amount_micros
      FROM ledger.keyed_operations AS ended
      JOIN ledger.keyed_operations AS begun
        ON (begun.dispute, begun.operation) = (ended.dispute, 'dispute_hold')
     CROSS JOIN LATERAL (VALUES
               ('disputed', begun.taken_micros),
               ('available', ended.taken_micros - begun.taken_micros),
               ('debt', ended.amount_micros - ended.taken_micros)
           ) AS part (debit, amount_micros)
     WHERE ended.operation = 'dispute_end' AND ended.outcome = 'lost'
    UNION ALL
    SELECT account_id, key, 'adjust',
           CASE WHEN amount_micros > 0 THEN 'adjustment' ELSE 'available' END::ledger.account_kind, abs(amount_micros)
      FROM ledger.keyed_operations WHERE operation = 'adjust'
    UNION ALL
    SELECT account_id, key, 'burn', 'available', amount_micros FROM ledger.keyed_operations WHERE operation = 'burn'
),
moved AS (
    SELECT account_id, work_id, try_number,
           coalesce(sum(amount_micros) FILTER (WHERE operation = 'reserve'), 0) AS reserved,
           coalesce(sum(amount_micros) FILTER (WHERE operation = 'settle'), 0) AS settled,
           coalesce(sum(amount_micros) FILTER (WHERE operation IN ('release', 'expire')), 0) AS released,
           coalesce(sum(amount_micros) FILTER (WHERE operation = 'recollect'), 0) AS recollected,
           coalesce(sum(amount_micros) FILTER (WHERE operation = 'shortfall'), 0) AS shortfall,
           coalesce(sum(amount_micros) FILTER (WHERE operation = 'refund'), 0) AS refunded
      FROM ledger.transfers WHERE work_id IS NOT NULL
     GROUP BY account_id, work_id, try_number
)
SELECT format('INV-1/INV-2: account %s %s stands at %s', account_id, kind, balance_micros)
  FROM account
 WHERE CASE WHEN kind IN ('available', 'held', 'revenue', 'disputed', 'clearing') THEN balance_micros < 0
            WHEN kind IN ('debt', 'payment', 'promotion') THEN balance_micros > 0 END
UNION ALL
SELECT format('INV-3: transfer %s of %s does not balance', transfer_id, account_id)
  FROM ledger.transfers WHERE debit = credit OR amount_micros <= 0
UNION ALL
SELECT format('INV-4: account %s %s (%s) stands at %s after %s entries, its %s entries sum to %s', account.account_id,
              account.kind, shard, balance_micros, entry_count, coalesce(entries, 0), coalesce(amount_micros, 0))
  FROM account LEFT JOIN total USING (account_id, kind, shard)
 WHERE (balance_micros, entry_count) <> (coalesce(amount_micros, 0), coalesce(entries, 0))
UNION ALL
SELECT format('INV-4: entries of %s %s (%s) have no account', account_id, kind, shard)
  FROM total LEFT JOIN account USING (account_id, kind, shard) WHERE account.account_id IS NULL
UNION ALL
SELECT format('INV-5: account %s (%s) holds %s, its open holds sum to %s', account_id, shard, held_micros,
              coalesce(open, 0))
  FROM ledger.books
  FULL JOIN (SELECT account_id, shard, sum(amount_micros) AS open
               FROM ledger.holds WHERE state = 'held' GROUP BY account_id, shard) AS open_holds USING (account_id, shard)
 WHERE held_micros IS DISTINCT FROM coalesce(open, 0)
UNION ALL
SELECT format('INV-6: the accounts of %s sum to %s', account_id, sum(balance_micros))
  FROM account GROUP BY account_id HAVING sum(balance_micros) <> 0
UNION ALL
SELECT format('INV-6: all accounts sum to %s', sum(balance_micros))
  FROM account HAVING sum(balance_micros) <> 0
UNION ALL
SELECT format('INV-7/INV-14: grant %s and its transfers differ', coalesce(given.key, transfer.key, '?'))
  FROM ledger.grants AS given
  FULL JOIN (SELECT * FROM ledger.transfers WHERE operation = 'grant') AS transfer
    ON (transfer.key, transfer.account_id, transfer.amount_micros, transfer.debit)
       = (given.key, given.account_id, given.amount_micros, given.source)
 WHERE given.key IS NULL OR transfer.key IS NULL
UNION ALL
SELECT format('INV-7/INV-14: grant %s moved credits %s times', key, count(*))
  FROM ledger.transfers WHERE operation = 'grant' GROUP BY key HAVING count(*) > 1
UNION ALL
SELECT format('INV-8/INV-10/INV-11/INV-16: hold %s/%s of %s is %s (%s = %s + %s), its transfers say %s', work_id,
              try_number, account_id, state, amount_micros, settled_micros, released_micros, to_jsonb(moved))
  FROM ledger.holds LEFT JOIN moved USING (account_id, work_id, try_number)
 WHERE coalesce(reserved, 0) <> amount_micros
    OR CASE
           WHEN state = 'held' THEN
               (coalesce(settled, 0), coalesce(released, 0), coalesce(recollected, 0), coalesce(shortfall, 0))
               <> (0, 0, 0, 0)
           WHEN corrected_at IS NOT NULL THEN
               (coalesce(settled, 0), coalesce(released, 0), coalesce(recollected, 0), coalesce(shortfall, 0))
               <> (0, amount_micros, settled_micros - shortfall_micros, shortfall_micros)
           ELSE
               (coalesce(settled, 0), coalesce(released, 0), coalesce(recollected, 0), coalesce(shortfall, 0))
               <> (settled_micros, released_micros, 0, 0)
       END
    OR (state <> 'held' AND settled_micros + released_micros <> amount_micros)
    OR (state = 'held' AND (settled_micros, released_micros, shortfall_micros) <> (0, 0, 0))
UNION ALL
SELECT format('INV-8: transfer %s of %s is a %s and says otherwise to the index of what a hold sees once', transfer_id,
              account_id, operation)
  FROM ledger.transfers WHERE once <> (work_id IS NOT NULL AND operation <= 'grant')
UNION ALL
SELECT format('INV-12/INV-14: operation %s of %s moved %s from %s by %s, its row says %s', key, account_id,
              coalesce(leg.amount_micros, 0), debit, operation, coalesce(done.amount_micros, 0))
  FROM leg FULL JOIN done USING (account_id, key, operation, debit)
 WHERE coalesce(leg.amount_micros, 0) <> coalesce(done.amount_micros, 0)
UNION ALL
SELECT format('INV-15: transfers of %s/%s of %s have no hold', work_id, try_number, account_id)
  FROM moved LEFT JOIN ledger.holds AS hold USING (account_id, work_id, try_number) WHERE hold.work_id IS NULL
UNION ALL
SELECT format('INV-17: hold %s/%s of %s settled %s of %s', work_id, try_number, account_id, settled_micros,
              amount_micros)
  FROM ledger.holds WHERE settled_micros > amount_micros
UNION ALL
SELECT format('INV-17: hold %s/%s of %s settled %s and refunded %s, its transfers say %s', work_id, try_number,
              account_id, settled_micros, refunded_micros, coalesce(refunded, 0))
  FROM ledger.holds LEFT JOIN moved USING (account_id, work_id, try_number)
 WHERE refunded_micros > settled_micros OR refunded_micros <> coalesce(refunded, 0)
UNION ALL
SELECT format('INV-18: payment %s granted %s, and %s more than that was taken back', given.key, given.amount_micros,
              -ledger.left_of_payment(given.account_id, given.key))
  FROM ledger.grants AS given
 WHERE given.key IN (SELECT payment_key FROM ledger.keyed_operations)
   AND ledger.left_of_payment(given.account_id, given.key) < 0
UNION ALL
SELECT format('E16: lot %s of %s burned %s of %s, its operations say %s', coalesce(lot.lot_id::text, burn.lot_id),
              coalesce(lot.account_id, burn.account_id), lot.burned_micros, lot.granted_micros,
              coalesce(burn.amount_micros, 0))
  FROM ledger.lots AS lot
  FULL JOIN (SELECT account_id, split_part(key, ':', 2) AS lot_id, sum(amount_micros) AS amount_micros
               FROM ledger.keyed_operations WHERE operation = 'burn' GROUP BY account_id, lot_id) AS burn
    ON (burn.lot_id, burn.account_id) = (lot.lot_id::text, lot.account_id)
 WHERE lot.lot_id IS NULL OR lot.burned_micros <> coalesce(burn.amount_micros, 0)
    OR lot.burned_micros > lot.granted_micros
UNION ALL
SELECT format('E16: lot %s of %s is of %s, its grant is not', lot.lot_id, lot.account_id, lot.granted_micros)
  FROM ledger.lots AS lot LEFT JOIN ledger.grants AS given ON given.key = lot.grant_key
 WHERE (given.account_id, given.amount_micros, given.source)
       IS DISTINCT FROM (lot.account_id, lot.granted_micros, 'promotion'::ledger.account_kind)
UNION ALL
SELECT format('INV-20: entry %s of %s %s (%s) stands at position %s with balance %s, the entries before it give %s',
              number, account_id, kind, shard, position, balance_micros, running_micros)
  FROM entry
 WHERE number <> position OR balance_micros <> running_micros OR transfer_id < previous_transfer_id
UNION ALL
SELECT format('INV-28/INV-29: generation %s is %s and its hold %s', generation_id, status,
              coalesce(hold.state::text, 'missing'))
  FROM store.generations AS generation
  LEFT JOIN ledger.holds AS hold
    ON (hold.account_id, hold.work_id, hold.try_number) = (generation.account_id, generation.generation_id, 1)
 WHERE CASE
           WHEN abandoned THEN hold.state IS NOT NULL
           WHEN status = 'succeeded' THEN
               hold.state IS DISTINCT FROM 'settled' OR hold.settled_micros <> settled_microcredits
           WHEN completed_at IS NOT NULL THEN hold.state IS NULL OR hold.state NOT IN ('released', 'expired')
           ELSE hold.state IS NULL OR hold.state NOT IN ('held', 'expired')
       END;
