-- name: insert
INSERT INTO store.operators (name, prefix, key_hash) VALUES (%(name)s, %(prefix)s, %(key_hash)s)
RETURNING operator_id::text, name, prefix, created_at, revoked_at, last_used_at;

-- name: recognise
-- The operator behind a key that still works; the use is noted at most once a minute.
WITH found AS (
    SELECT operator_id, name, last_used_at FROM store.operators
     WHERE key_hash = %(key_hash)s AND revoked_at IS NULL
), noted AS (
    UPDATE store.operators AS used SET last_used_at = clock_timestamp()
      FROM found
     WHERE used.operator_id = found.operator_id
       AND (found.last_used_at IS NULL OR found.last_used_at < clock_timestamp() - interval '1 minute')
)
SELECT operator_id::text, name FROM found;

-- name: page
SELECT operator_id::text, name, prefix, created_at, revoked_at, last_used_at
  FROM store.operators ORDER BY created_at, operator_id LIMIT %(limit)s OFFSET %(offset)s;

-- name: count
SELECT count(*) FROM store.operators;

-- name: get
SELECT operator_id::text, name, prefix, created_at, revoked_at, last_used_at
  FROM store.operators WHERE operator_id = %(operator_id)s::uuid;

-- name: named
SELECT operator_id::text, name, prefix, created_at, revoked_at, last_used_at
  FROM store.operators WHERE name = %(name)s AND revoked_at IS NULL;

-- name: revoke
UPDATE store.operators SET revoked_at = clock_timestamp()
 WHERE operator_id = %(operator_id)s::uuid AND revoked_at IS NULL;
