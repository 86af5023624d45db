-- name: claim
-- The lease is counted from inside the function, so it ends later than this says.
SELECT answer, generation_id::text, status, response,
       extract(epoch FROM statement_timestamp())::double precision + %(lease_s)s::double precision AS lease_until
  FROM store.claim_idempotency_key(%(account_id)s::uuid, %(key)s::text, %(fingerprint)s::text, %(generation_id)s::uuid,
                                   %(lease_s)s::double precision, %(life_s)s::double precision);

-- name: complete
UPDATE store.idempotency_keys SET status = %(status)s::integer, response = %(response)s::bytea
 WHERE account_id = %(account_id)s::uuid AND key = %(key)s AND generation_id = %(generation_id)s::uuid
   AND response IS NULL;

-- name: free
DELETE FROM store.idempotency_keys
 WHERE account_id = %(account_id)s::uuid AND key = %(key)s AND generation_id = %(generation_id)s::uuid
   AND response IS NULL;

-- name: purge
-- The outer condition is looked at again after a wait for the row: a key that was claimed anew meanwhile stays.
DELETE FROM store.idempotency_keys
 WHERE expires_at <= clock_timestamp()
   AND (account_id, key) IN (
     SELECT account_id, key FROM store.idempotency_keys WHERE expires_at <= clock_timestamp()
      ORDER BY expires_at LIMIT %(limit)s::bigint);
