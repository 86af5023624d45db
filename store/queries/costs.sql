-- name: margins
SELECT provider, model, sum(revenue_micros)::bigint AS revenue_micros, sum(cost_micros)::bigint AS cost_micros
  FROM ledger.margins
 WHERE day >= (%(start)s::timestamptz AT TIME ZONE 'UTC')::date AND day < (%(end)s::timestamptz AT TIME ZONE 'UTC')::date
 GROUP BY provider, model
 ORDER BY provider, model;

-- name: recorded
-- In the order of their beginning. A record that is removed between two pages keeps its place, since its cost is kept.
-- What a provider certainly refused is no attempt yet. The parts are cut before they meet, so that each has its index.
SELECT cost.attempt_id::text, cost.generation_id::text,
       coalesce(cost.model, (SELECT generation.model FROM store.generations AS generation
                              WHERE generation.generation_id = cost.generation_id)) AS model,
       cost.native_model, cost.job_id, cost.state, cost.cost_microcredits, cost.begun_at
  FROM (
    (SELECT attempt_id, generation_id, NULL AS model, native_model, job_id, state,
            coalesce(cost_microcredits, estimate_microcredits) AS cost_microcredits, begun_at
       FROM store.attempts
      WHERE provider = %(provider)s::text AND state <> 'refused'
        AND begun_at >= %(start)s::timestamptz AND begun_at < %(end)s::timestamptz
        AND (begun_at, attempt_id) > (%(after_at)s::timestamptz, %(after_id)s::uuid)
      ORDER BY begun_at, attempt_id LIMIT %(limit)s::bigint)
    UNION ALL
    (SELECT attempt_id, generation_id, model, native_model, job_id, state, cost_microcredits, begun_at
       FROM store.kept_costs
      WHERE provider = %(provider)s::text
        AND begun_at >= %(start)s::timestamptz AND begun_at < %(end)s::timestamptz
        AND (begun_at, attempt_id) > (%(after_at)s::timestamptz, %(after_id)s::uuid)
      ORDER BY begun_at, attempt_id LIMIT %(limit)s::bigint)
  ) AS cost
 ORDER BY cost.begun_at, cost.attempt_id
 LIMIT %(limit)s::bigint;
