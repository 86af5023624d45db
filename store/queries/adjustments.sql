-- name: propose
INSERT INTO store.adjustments (account_id, amount_micros, reason, key, proposed_by, expires_at)
VALUES (%(account_id)s::uuid, %(amount)s, %(reason)s, %(key)s, %(operator_id)s::uuid,
        clock_timestamp() + %(life)s::interval)
ON CONFLICT (key) DO NOTHING
RETURNING adjustment_id::text;

-- name: by_key
SELECT adjustment_id::text FROM store.adjustments WHERE key = %(key)s;

-- name: lock
SELECT FROM store.adjustments WHERE adjustment_id = %(adjustment_id)s::uuid FOR UPDATE;

-- name: get
SELECT adjustment_id::text, account_id::text, amount_micros, reason, key,
       CASE WHEN state = 'proposed' AND expires_at <= clock_timestamp() THEN 'expired' ELSE state END AS state,
       proposer.operator_id::text AS proposed_by_id, proposer.name AS proposed_by, proposed_at, adjustment.expires_at,
       decider.name AS decided_by, decided_at
  FROM store.adjustments AS adjustment
  JOIN store.operators AS proposer ON proposer.operator_id = proposed_by
  LEFT JOIN store.operators AS decider ON decider.operator_id = decided_by
 WHERE adjustment_id = %(adjustment_id)s::uuid;

-- name: page
SELECT adjustment_id::text, account_id::text, amount_micros, reason, key,
       CASE WHEN state = 'proposed' AND expires_at <= clock_timestamp() THEN 'expired' ELSE state END AS state,
       proposer.operator_id::text AS proposed_by_id, proposer.name AS proposed_by, proposed_at, adjustment.expires_at,
       decider.name AS decided_by, decided_at
  FROM store.adjustments AS adjustment
  JOIN store.operators AS proposer ON proposer.operator_id = proposed_by
  LEFT JOIN store.operators AS decider ON decider.operator_id = decided_by
 WHERE (%(account_id)s::uuid IS NULL OR account_id = %(account_id)s::uuid)
   AND (NOT %(open_only)s OR state = 'proposed' AND adjustment.expires_at > clock_timestamp())
 ORDER BY proposed_at DESC, adjustment_id DESC LIMIT %(limit)s OFFSET %(offset)s;

-- name: count
SELECT count(*) FROM store.adjustments
 WHERE (%(account_id)s::uuid IS NULL OR account_id = %(account_id)s::uuid)
   AND (NOT %(open_only)s OR state = 'proposed' AND expires_at > clock_timestamp());

-- name: decide
UPDATE store.adjustments SET state = %(state)s, decided_by = %(operator_id)s::uuid, decided_at = clock_timestamp()
 WHERE adjustment_id = %(adjustment_id)s::uuid AND state = 'proposed';
