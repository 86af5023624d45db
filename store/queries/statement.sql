-- name: entries
-- Oldest first, a page at a time: history does not change, so the pages need no transaction around them.
SELECT transfer_id, number, amount_micros, balance_micros, operation::text, work_id::text, try_number, key, cause,
       created_at
  FROM ledger.entries
 WHERE account_id = %(account_id)s::uuid AND kind = 'available'
   AND transfer_id > %(after)s::bigint AND number > %(above)s::bigint AND number <= %(up_to)s::bigint
 ORDER BY transfer_id
 LIMIT %(limit)s::bigint;
