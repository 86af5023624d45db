-- name: add
-- One batch: its rows and its counts together. The counts are written in the order of their key, so that two writers
-- wait for each other and never in a circle. A key is locked against its deletion; of a deleted one only counts are kept.
WITH turn AS (
    INSERT INTO store.request_log_writers AS writer (writer_id, batch, written_at)
    VALUES (%(writer_id)s::uuid, %(batch)s::bigint, clock_timestamp())
    ON CONFLICT (writer_id) DO UPDATE SET batch = excluded.batch, written_at = excluded.written_at
     WHERE writer.batch < excluded.batch
    RETURNING true
), entry AS MATERIALIZED (
    SELECT (cells ->> 0)::uuid AS account_id, to_timestamp((cells ->> 1)::double precision) AS occurred_at,
           (cells ->> 2)::uuid AS api_key_id, cells ->> 3 AS request_id, cells ->> 4 AS key_state, cells ->> 5 AS method,
           cells ->> 6 AS path, cells ->> 7 AS endpoint, cells ->> 8 AS query, (cells ->> 9)::smallint AS status,
           cells ->> 10 AS code, (cells ->> 11)::boolean AS replayed, cells ->> 12 AS client_ip_hash,
           cells ->> 13 AS user_agent, cells ->> 14 AS sdk_name, cells ->> 15 AS sdk_version, cells ->> 16 AS sdk_runtime,
           cells ->> 17 AS sdk_runtime_version, (cells ->> 18)::integer AS duration_ms
      FROM turn, jsonb_array_elements(%(entries)s::jsonb) AS cells
), living AS MATERIALIZED (
    SELECT api_key_id FROM store.api_keys
     WHERE api_key_id IN (SELECT api_key_id FROM entry) ORDER BY api_key_id FOR KEY SHARE
), counted AS (
    INSERT INTO store.request_stats AS stats (account_id, hour, endpoint, status, code, requests)
    SELECT account_id, date_trunc('hour', occurred_at, 'UTC'), endpoint, status, coalesce(code, ''), count(*)
      FROM entry
     GROUP BY 1, 2, 3, 4, 5
     ORDER BY 1, 2, 3, 4, 5
    ON CONFLICT (account_id, hour, endpoint, status, code) DO UPDATE
       SET requests = stats.requests + excluded.requests
)
INSERT INTO store.request_log
    (account_id, occurred_at, api_key_id, request_id, key_state, method, path, endpoint, query, status, code, replayed,
     client_ip_hash, user_agent, sdk_name, sdk_version, sdk_runtime, sdk_runtime_version, duration_ms)
SELECT account_id, occurred_at, api_key_id, request_id, key_state, method, path, endpoint, query, status, code, replayed,
       decode(client_ip_hash, 'hex'), user_agent, sdk_name, sdk_version, sdk_runtime, sdk_runtime_version, duration_ms
  FROM entry JOIN living USING (api_key_id);

-- name: forget_writers
-- Of processes that have long ended; one that was only idle is remembered again.
DELETE FROM store.request_log_writers WHERE written_at < clock_timestamp() - interval '1 day';

-- name: forget_deleted_keys
DELETE FROM store.forgotten_keys WHERE store.forget_requests(api_key_id);

-- name: page
SELECT entry.occurred_at, entry.log_id, entry.request_id, entry.api_key_id::text, key.name AS key_name,
       key.prefix AS key_prefix, entry.key_state, entry.method, entry.path, entry.endpoint, entry.query, entry.status,
       entry.code, entry.replayed, encode(entry.client_ip_hash, 'hex') AS client_ip_hash, entry.user_agent,
       entry.sdk_name, entry.sdk_version, entry.sdk_runtime, entry.sdk_runtime_version, entry.duration_ms
  FROM store.request_log AS entry JOIN store.api_keys AS key USING (api_key_id)
 WHERE entry.account_id = %(account_id)s::uuid
   AND (entry.occurred_at, entry.log_id)
       < (coalesce(%(before_at)s::timestamptz, 'infinity'), coalesce(%(before_id)s::bigint, 0))
 ORDER BY entry.occurred_at DESC, entry.log_id DESC
 LIMIT %(limit)s::bigint;
