-- name: lock
-- As every reservation of the account does that is counted: then holds that have ended are given back exactly once.
SELECT FROM store.spending_limits WHERE account_id = %(account_id)s::uuid ORDER BY limit_id FOR NO KEY UPDATE;

-- name: give_back
SELECT store.give_back_spending(%(account_id)s::uuid);

-- name: of_account
SELECT limits.limit_id::text, limits.account_id::text,
       CASE WHEN limits.scope_id <> limits.account_id THEN limits.scope_id::text END AS api_key_id,
       limits.period, limits.is_hard, limits.limit_micros,
       coalesce((SELECT sum(spent_micros) FROM store.spending
                  WHERE scope_id = limits.scope_id AND day >= within.since AND day < within.until), 0)::bigint
           AS spent_micros,
       within.until::timestamp AT TIME ZONE 'UTC' AS ends_at
  FROM store.spending_limits AS limits,
       LATERAL (SELECT date_trunc(period, clock_timestamp() AT TIME ZONE 'UTC') AS since) AS began,
       LATERAL (SELECT began.since::date AS since, (began.since + ('1 ' || period)::interval)::date AS until) AS within
 WHERE limits.account_id = %(account_id)s::uuid
 ORDER BY limits.scope_id <> limits.account_id, limits.scope_id, limits.period, limits.is_hard DESC;

-- name: line
-- The first key of the line of rotations that a key stands in.
SELECT coalesce(line_id, api_key_id)::text FROM store.api_keys
 WHERE api_key_id = %(api_key_id)s::uuid AND account_id = %(account_id)s::uuid;

-- name: set
SELECT store.set_spending_limit(%(account_id)s::uuid, %(scope_id)s::uuid, %(period)s::text, %(is_hard)s::boolean,
                                %(limit)s::bigint)::text;

-- name: remove
DELETE FROM store.spending_limits
 WHERE account_id = %(account_id)s::uuid AND limit_id = %(limit_id)s::uuid
RETURNING limit_id::text, account_id::text, CASE WHEN scope_id <> account_id THEN scope_id::text END AS api_key_id,
          period, is_hard, limit_micros, 0::bigint AS spent_micros, clock_timestamp() AS ends_at;
