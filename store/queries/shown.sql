-- name: get
SELECT status, media_type, generation_id::text, account_id::text, region, model, provider_order, provider_used,
       prediction_id::text, params, created_at, started_at, completed_at, predict_time_s, error_code, error_message,
       files_removed_at IS NOT NULL,
       ARRAY(SELECT key FROM store.assets AS asset
              WHERE asset.generation_id = generation.generation_id ORDER BY index)
  FROM store.generations AS generation
 WHERE generation_id = %(generation_id)s::uuid AND account_id = %(account_id)s::uuid AND deleted_at IS NULL;

-- name: page
-- The columns of `get`, after the number of all: one statement, so that both are of one moment. Limit and offset are
-- subqueries, so that the planner keeps one plan instead of planning every page anew.
SELECT (SELECT count(*) FROM store.generations WHERE account_id = %(account_id)s::uuid AND deleted_at IS NULL),
       status, media_type, generation_id::text, account_id::text, region, model, provider_order, provider_used,
       prediction_id::text, params, created_at, started_at, completed_at, predict_time_s, error_code, error_message,
       files_removed_at IS NOT NULL,
       ARRAY(SELECT key FROM store.assets AS asset
              WHERE asset.generation_id = generation.generation_id ORDER BY index)
  FROM store.generations AS generation
 WHERE account_id = %(account_id)s::uuid AND deleted_at IS NULL
 ORDER BY generation.created_at DESC, generation.generation_id DESC  -- the columns: the index has them in this order
 LIMIT (SELECT %(limit)s::bigint) OFFSET (SELECT %(offset)s::bigint);

-- name: count
SELECT count(*) FROM store.generations WHERE account_id = %(account_id)s::uuid AND deleted_at IS NULL;
