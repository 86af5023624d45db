-- name: get
SELECT status, media_type, generation_id::text, account_id::text, region, model, provider_order, provider_used,
       prediction_id::text, params, created_at, started_at, completed_at, predict_time_s, error_code, error_message,
       files_removed_at IS NOT NULL,
       ARRAY(SELECT key FROM store.assets AS asset
              WHERE asset.generation_id = generation.generation_id ORDER BY index)
  FROM store.generations AS generation
 WHERE generation_id = %(generation_id)s::uuid AND account_id = %(account_id)s::uuid AND deleted_at IS NULL;

-- name: page
-- The columns of `get`, after the number of all: one statement, so that both are of one moment.
SELECT (SELECT count(*) FROM store.generations WHERE account_id = %(account_id)s::uuid AND deleted_at IS NULL),
       status, media_type, generation_id::text, account_id::text, region, model, provider_order, provider_used,
       prediction_id::text, params, created_at, started_at, completed_at, predict_time_s, error_code, error_message,
       files_removed_at IS NOT NULL,
       ARRAY(SELECT key FROM store.assets AS asset
              WHERE asset.generation_id = generation.generation_id ORDER BY index)
  FROM store.generations AS generation
 WHERE account_id = %(account_id)s::uuid AND deleted_at IS NULL
 ORDER BY generation.created_at DESC, generation.generation_id DESC  -- the columns: the index has them in this order
 LIMIT %(limit)s::bigint OFFSET %(offset)s::bigint;

-- name: count
SELECT count(*) FROM store.generations WHERE account_id = %(account_id)s::uuid AND deleted_at IS NULL;
