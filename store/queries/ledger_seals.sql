-- name: snapshot
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ;

-- name: seals
SELECT seal_number, period_start, period_end, sealed_at, up_to_transfer, transfers, moved_micros::text, balances,
       previous_hash, hash
  FROM ledger.seals ORDER BY seal_number;

-- name: page
SELECT seal_number, period_start, period_end, sealed_at, up_to_transfer, transfers, moved_micros::text, balances,
       previous_hash, hash
  FROM ledger.seals ORDER BY seal_number DESC LIMIT %(limit)s OFFSET %(offset)s;

-- name: count
SELECT count(*) FROM ledger.seals;

-- name: last
SELECT seal_number, period_start, period_end, sealed_at, up_to_transfer, transfers, moved_micros::text, balances,
       previous_hash, hash
  FROM ledger.seals ORDER BY seal_number DESC LIMIT 1;

-- name: first_transfer
-- When the history begins.
SELECT min(first_one.created_at)
  FROM (SELECT account_id FROM ledger.books WHERE shard = 0 UNION SELECT account_id FROM store.accounts) AS account
 CROSS JOIN LATERAL (
       SELECT created_at FROM ledger.transfers AS transfer WHERE transfer.account_id = account.account_id
        ORDER BY transfer_id LIMIT 1) AS first_one;

-- name: now
SELECT clock_timestamp();

-- name: balances
SELECT ledger.seal_balances(%(seal_number)s, %(period_end)s, %(border)s);

-- name: write
SELECT ledger.write_seal(%(seal_number)s, %(period_start)s, %(period_end)s, %(up_to_transfer)s, %(transfers)s,
                         %(moved_micros)s, %(balances)s::jsonb, %(previous_hash)s, %(hash)s);

-- name: lines
-- The transfers of a seal, account by account, each in the order of its commits: a line each, as COPY writes text. Times
-- are microseconds since 1970, so that no setting changes a byte.
COPY (
    SELECT transfer.account_id, transfer_id, operation, debit, credit, amount_micros, transfer.shard, debit_number,
           debit_balance_micros, credit_number, credit_balance_micros, work_id, try_number, key, cause,
           (extract(epoch FROM created_at) * 1000000)::bigint
      FROM (SELECT account_id, max(transfer_id) AS cut FROM ledger.sealed_balances
             WHERE seal_number = %(seal_number)s GROUP BY account_id) AS sealed
     CROSS JOIN LATERAL (
           SELECT coalesce(max(before.transfer_id), -9223372036854775808) AS start FROM ledger.sealed_balances AS before
            WHERE before.account_id = sealed.account_id AND before.seal_number < %(seal_number)s) AS before
     CROSS JOIN LATERAL (
           SELECT * FROM ledger.transfers AS transfer
            WHERE transfer.account_id = sealed.account_id
              AND transfer.transfer_id > before.start AND transfer.transfer_id <= sealed.cut OFFSET 0) AS transfer
     ORDER BY transfer.account_id, transfer_id
) TO STDOUT;

-- name: differing_balance
-- The first balance of a seal that is not what its entry says.
SELECT sealed.account_id::text, sealed.kind::text
  FROM ledger.sealed_balances AS sealed
  LEFT JOIN LATERAL (
       SELECT * FROM ledger.entries AS entry
        WHERE entry.account_id = sealed.account_id AND entry.transfer_id = sealed.transfer_id
          AND entry.kind = sealed.kind AND entry.shard = sealed.shard OFFSET 0) AS entry ON true
 WHERE sealed.seal_number = %(seal_number)s
   AND (entry.number, entry.balance_micros) IS DISTINCT FROM (sealed.number, sealed.balance_micros)
 ORDER BY sealed.account_id, sealed.kind, sealed.shard LIMIT 1;

-- name: backdated
-- The first transfer that is in no seal, and says that it happened before the last one's end.
SELECT account.account_id::text, late.transfer_id
  FROM (SELECT account_id FROM ledger.books WHERE shard = 0 UNION SELECT account_id FROM store.accounts) AS account
 CROSS JOIN LATERAL (
       SELECT coalesce(max(transfer_id), -9223372036854775808) AS cut FROM ledger.sealed_balances AS sealed
        WHERE sealed.account_id = account.account_id) AS sealed
 CROSS JOIN LATERAL (
       SELECT transfer_id FROM ledger.transfers AS transfer
        WHERE transfer.account_id = account.account_id AND transfer.transfer_id > sealed.cut
          AND transfer.created_at < %(period_end)s
        ORDER BY transfer_id LIMIT 1) AS late
 ORDER BY account.account_id LIMIT 1;
