-- name: of_account
-- Everything as of one moment, so that records which a clean-up moves to the archive meanwhile are counted once.
WITH span AS MATERIALIZED (
    SELECT date_trunc('hour', clock_timestamp() - make_interval(hours => 24 * %(days)s::integer), 'UTC') AS since
), recorded AS MATERIALIZED (  -- in two parts: each has its index
    SELECT generation_id FROM store.generations
     WHERE account_id = %(account_id)s::uuid AND created_at >= (SELECT since FROM span) AND deleted_at IS NULL
    UNION ALL
    SELECT generation_id FROM store.generations
     WHERE account_id = %(account_id)s::uuid AND created_at >= (SELECT since FROM span) AND deleted_at IS NOT NULL
), attempted AS (  -- looked up one by one: the table of all attempts is never read for one account
    SELECT attempt.provider, attempt.state, count(*) AS attempts, sum(attempt.cost) AS cost
      FROM recorded CROSS JOIN LATERAL (
               SELECT provider, state, cost_microcredits AS cost FROM store.attempt_costs
                WHERE attempt_costs.generation_id = recorded.generation_id OFFSET 0) AS attempt
     GROUP BY attempt.provider, attempt.state
    UNION ALL
    SELECT provider, state, attempts, cost_microcredits FROM store.archived_attempts
     WHERE account_id = %(account_id)s::uuid AND hour >= (SELECT since FROM span)
), of_provider AS (
    SELECT provider,
           sum(attempts) AS submissions,
           coalesce(sum(attempts) FILTER (WHERE state = 'used'), 0) AS used,
           coalesce(sum(attempts) FILTER (WHERE state = 'canceled'), 0) AS canceled,
           coalesce(sum(attempts) FILTER (WHERE state = 'discarded'), 0) AS discarded,
           coalesce(sum(attempts) FILTER (WHERE state = 'failed'), 0) AS failed,
           sum(cost) AS cost_microcredits,
           coalesce(sum(cost) FILTER (WHERE state IN ('canceled', 'discarded', 'failed')), 0) AS wasted_microcredits
      FROM attempted GROUP BY provider
), requested AS (
    SELECT endpoint, status, code, sum(requests) AS requests FROM store.request_stats
     WHERE account_id = %(account_id)s::uuid AND hour >= (SELECT since FROM span)
     GROUP BY endpoint, status, code
), of_code AS (
    SELECT endpoint, jsonb_object_agg(code, requests) AS codes
      FROM (SELECT endpoint, code, sum(requests) AS requests FROM requested WHERE code <> '' GROUP BY endpoint, code) AS each
     GROUP BY endpoint
), of_endpoint AS (
    SELECT endpoint,
           sum(requests) AS requests,
           coalesce(sum(requests) FILTER (WHERE status BETWEEN 200 AND 299), 0) AS success,
           coalesce(sum(requests) FILTER (WHERE status BETWEEN 400 AND 499), 0) AS client_errors,
           coalesce(sum(requests) FILTER (WHERE status >= 500), 0) AS server_errors
      FROM requested GROUP BY endpoint
)
SELECT (SELECT available_micros FROM ledger.books
         WHERE account_id = %(account_id)s::uuid AND shard = 0) AS balance_microcredits,
       (SELECT count(*) FROM recorded)
       + (SELECT coalesce(sum(generations), 0)::bigint FROM store.archived_generations
           WHERE account_id = %(account_id)s::uuid AND hour >= (SELECT since FROM span)) AS generations,
       (SELECT coalesce(jsonb_agg(to_jsonb(of_provider) ORDER BY provider), '[]') FROM of_provider) AS providers,
       (SELECT coalesce(jsonb_agg(
                   to_jsonb(of_endpoint) || jsonb_build_object('codes', coalesce(of_code.codes, '{}'))
                   ORDER BY endpoint), '[]')
          FROM of_endpoint LEFT JOIN of_code USING (endpoint)) AS endpoints;
