-- name: accounts
SELECT account_id::text, plan FROM store.accounts
 WHERE account_id > %(after)s::uuid ORDER BY account_id LIMIT %(limit)s::bigint;

-- name: due
-- Which of these accounts have something to remove: one look into an index for each account and thing. The order makes
-- it the index: without it a scan seems cheap that finds nothing in a whole table.
SELECT account_id::text, files, generations, deliveries, requests
  FROM (SELECT term.account_id,
               (SELECT true FROM store.generations AS kept
                 WHERE kept.account_id = term.account_id AND kept.files_removed_at IS NULL
                   AND kept.completed_at < now() - term.files
                 ORDER BY kept.completed_at LIMIT 1) IS NOT NULL AS files,
               (SELECT true FROM store.generations AS kept
                 WHERE kept.account_id = term.account_id AND kept.files_removed_at IS NOT NULL
                   AND kept.completed_at < now() - term.generations
                 ORDER BY kept.completed_at LIMIT 1) IS NOT NULL AS generations,
               (SELECT true FROM store.webhook_deliveries AS kept
                 WHERE kept.account_id = term.account_id AND kept.ended_at < now() - term.deliveries
                 ORDER BY kept.ended_at LIMIT 1) IS NOT NULL AS deliveries,
               (SELECT true FROM store.request_log AS kept
                 WHERE kept.account_id = term.account_id AND kept.occurred_at < now() - term.requests
                 ORDER BY kept.occurred_at LIMIT 1) IS NOT NULL AS requests
          FROM unnest(%(account_ids)s::uuid[], %(files)s::interval[], %(generations)s::interval[],
                      %(deliveries)s::interval[], %(requests)s::interval[])
               AS term (account_id, files, generations, deliveries, requests)
        OFFSET 0) AS looked_at
 WHERE files OR generations OR deliveries OR requests
 ORDER BY looked_at.account_id
 LIMIT %(limit)s::bigint;

-- name: files_due
SELECT generation_id::text, region FROM store.generations
 WHERE account_id = %(account_id)s::uuid AND files_removed_at IS NULL AND completed_at < now() - %(age)s::interval
 ORDER BY completed_at LIMIT %(limit)s::bigint;

-- name: mark_files_removed
UPDATE store.generations SET files_removed_at = clock_timestamp()
 WHERE generation_id = ANY (%(generation_ids)s::uuid[]) AND completed_at IS NOT NULL AND files_removed_at IS NULL;

-- name: purge_generations
SELECT store.purge_generations(%(account_id)s::uuid, %(age)s::interval, %(limit)s::integer);

-- name: purge_deliveries
WITH due AS MATERIALIZED (
    SELECT delivery_id FROM store.webhook_deliveries
     WHERE account_id = %(account_id)s::uuid AND ended_at < now() - %(age)s::interval
     ORDER BY ended_at LIMIT %(limit)s::bigint
       FOR UPDATE SKIP LOCKED
), attempts AS (
    DELETE FROM store.webhook_attempts WHERE delivery_id IN (SELECT delivery_id FROM due)
)
DELETE FROM store.webhook_deliveries WHERE delivery_id IN (SELECT delivery_id FROM due);

-- name: purge_requests
DELETE FROM store.request_log WHERE (account_id, occurred_at, log_id) IN (
    SELECT account_id, occurred_at, log_id FROM store.request_log
     WHERE account_id = %(account_id)s::uuid AND occurred_at < now() - %(age)s::interval
     ORDER BY occurred_at, log_id LIMIT %(limit)s::bigint);
