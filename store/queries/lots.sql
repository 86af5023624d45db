-- name: grant
SELECT word, differs
  FROM ledger.grant_until(%(account_id)s::uuid, %(amount)s::bigint, 'promotion', %(key)s::text, %(note)s::text,
                          %(expires_at)s::timestamptz);

-- name: due
-- Accounts with lots that have expired by then and are not booked so, or of which something was held at their end.
SELECT DISTINCT account_id::text
  FROM ledger.lots
 WHERE closed_after IS NULL
   AND (ended_at IS NOT NULL OR expires_at <= coalesce(%(by)s::timestamptz, clock_timestamp()))
   AND (%(after)s::uuid IS NULL OR account_id > %(after)s::uuid)
 ORDER BY account_id
 LIMIT %(limit)s::bigint;

-- name: expire
SELECT ledger.expire_lots(%(account_id)s::uuid, coalesce(%(by)s::timestamptz, clock_timestamp()));

-- name: of_account
-- Newest first.
SELECT lot.lot_id::text, lot.grant_key AS key, given.note, lot.granted_micros, given.created_at AS granted_at,
       lot.expires_at, lot.ended_at, coalesce(now.left_micros, 0) AS left_micros,
       coalesce(now.held_micros, 0) AS held_micros, lot.burned_micros
  FROM ledger.lots AS lot
  JOIN ledger.grants AS given ON given.key = lot.grant_key
  LEFT JOIN ledger.left_of_lots(%(account_id)s::uuid) AS now USING (lot_id)
 WHERE lot.account_id = %(account_id)s::uuid
 ORDER BY lot.granted_by DESC
 LIMIT %(limit)s::bigint OFFSET %(offset)s::bigint;

-- name: count_of_account
SELECT count(*) FROM ledger.lots WHERE account_id = %(account_id)s::uuid;
