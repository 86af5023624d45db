-- name: admit
-- For store.connection.flushed, as `finish`: the columns are computed in their order.
SELECT CASE WHEN %(flushes_after)s::boolean THEN set_config('ledger.flushes_after', 'on', true) END,
       store.admit_generation(
       %(generation_id)s::uuid, %(account_id)s::uuid, %(region)s::text, %(model)s::text, %(media_type)s::text,
       %(params)s::jsonb, %(output_count)s::integer, %(output_format)s::text, %(provider_order)s::text[],
       %(quote)s::bigint, %(price_version)s::text, %(hold_s)s::integer, %(admit_by)s::double precision,
       %(prediction_id)s::uuid, %(api_key_id)s::uuid, %(replay_of)s::uuid, %(in_flight_max)s::integer,
       %(decision)s::jsonb),
       current_setting('synchronous_commit') = 'off' OR pg_current_xact_id_if_assigned() IS NULL;

-- name: abandon
INSERT INTO store.generations
    (generation_id, account_id, status, abandoned, region, model, media_type, params, output_count, output_format,
     provider_order, quote_microcredits, price_version, api_key_id, replay_of, prediction_id, error_code, error_message,
     completed_at)
VALUES (%(generation_id)s::uuid, %(account_id)s::uuid, 'failed', true, %(region)s, %(model)s, %(media_type)s,
        %(params)s, %(output_count)s, %(output_format)s, %(provider_order)s, %(quote)s, %(price_version)s,
        %(api_key_id)s::uuid, %(replay_of)s::uuid, %(prediction_id)s::uuid, %(error_code)s, %(error_message)s,
        clock_timestamp())
ON CONFLICT DO NOTHING
RETURNING true;

-- name: was_abandoned
-- The empty message makes it wait until the admission that it reads is on disk.
SELECT abandoned, pg_logical_emit_message(true, '', '') FROM store.generations WHERE generation_id = %(generation_id)s::uuid;

-- name: finish
SELECT CASE WHEN %(flushes_after)s::boolean THEN set_config('ledger.flushes_after', 'on', true) END,
       (SELECT to_jsonb(finished) FROM store.finish_generation(
        %(generation_id)s::uuid, %(account_id)s::uuid, %(status)s::text, %(settle)s::bigint, %(attempt_number)s::integer,
        %(provider_used)s::text, %(cost)s::bigint, %(predict_time_s)s::double precision, %(error_code)s::text,
        %(error_message)s::text, %(provider_errors)s::jsonb, %(assets)s::jsonb, %(output_urls)s::text[],
        %(deviations)s::jsonb) AS finished),
       current_setting('synchronous_commit') = 'off' OR pg_current_xact_id_if_assigned() IS NULL;

-- name: get
SELECT generation_id::text, account_id::text, status, abandoned, region, model, media_type, params, output_count,
       output_format, provider_order, prediction_id::text, provider_used, quote_microcredits, price_version,
       settled_microcredits, api_key_id::text, replay_of::text, created_at, started_at, completed_at, predict_time_s,
       error_code, error_message, provider_errors, files_removed_at IS NOT NULL AS files_removed, deleted_at, deviations,
       (SELECT jsonb_agg(to_jsonb(asset) - 'generation_id' - 'index' ORDER BY index)
          FROM store.assets AS asset WHERE asset.generation_id = generation.generation_id) AS assets
  FROM store.generations AS generation
 WHERE generation_id = %(generation_id)s::uuid
   AND (%(account_id)s::uuid IS NULL OR account_id = %(account_id)s::uuid AND deleted_at IS NULL);

-- name: in_flight
SELECT count(*) FROM store.generations
 WHERE account_id = %(account_id)s::uuid AND media_type = %(media_type)s AND completed_at IS NULL;

-- name: unended
-- Admitted a while ago and not ended, oldest first, after the cursor: one that cannot be ended hides none behind it.
SELECT generation_id::text, account_id::text FROM store.generations AS unended
 WHERE completed_at IS NULL AND created_at < clock_timestamp() - %(older_than)s::interval
   AND (%(after)s::uuid IS NULL
        OR (created_at, generation_id)
           > (SELECT created_at, generation_id FROM store.generations WHERE generation_id = %(after)s::uuid))
 ORDER BY unended.created_at, unended.generation_id
 LIMIT %(limit)s::bigint;

-- name: ended_as
-- How a generation ended whose record is gone: its hold knows.
SELECT CASE WHEN state = 'settled' THEN 'succeeded' WHEN reason = 'canceled' THEN 'canceled' ELSE 'failed' END,
       state <> 'settled'
  FROM ledger.holds
 WHERE (account_id, work_id, try_number) = (%(account_id)s::uuid, %(generation_id)s::uuid, 1) AND state <> 'held';

-- name: mark_deleted
-- A tombstone: the record stays for the books, what the customer wrote goes. No row: not there, or not ended.
UPDATE store.generations
   SET deleted_at = clock_timestamp(), files_removed_at = coalesce(files_removed_at, clock_timestamp()), params = '{}'
 WHERE generation_id = %(generation_id)s::uuid AND account_id = %(account_id)s::uuid
   AND deleted_at IS NULL AND completed_at IS NOT NULL;

-- name: exists_undeleted
SELECT true FROM store.generations
 WHERE generation_id = %(generation_id)s::uuid AND account_id = %(account_id)s::uuid AND deleted_at IS NULL;
