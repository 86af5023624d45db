-- name: begin
SELECT answer, job_id, job_handle, intended_at
  FROM store.begin_attempt(%(attempt_id)s::uuid, %(generation_id)s::uuid, %(account_id)s::uuid, %(number)s::integer,
                           %(provider)s::text, %(native_model)s::text, %(cost_microcredits)s::bigint);

-- name: refused
UPDATE store.attempts SET state = 'refused', failure = %(failure)s::jsonb
 WHERE attempt_id = %(attempt_id)s::uuid AND state = 'submitting' AND job_id IS NULL;

-- name: accepted
SELECT store.accept_attempt(%(attempt_id)s::uuid, %(job_id)s::text, %(job_handle)s::jsonb, %(adopted)s::boolean)::text[];

-- name: close
-- An attempt that ended as failed or canceled may still turn out to have delivered too late. A cost told later replaces
-- what was assumed: the estimate where a job was used or left behind, nothing where it failed or was canceled.
UPDATE store.attempts
   SET state = %(state)s::text,
       ended_at = coalesce(ended_at, clock_timestamp()),
       failure = coalesce(%(failure)s::jsonb, failure),
       cost_microcredits = coalesce(
           %(cost_microcredits)s::bigint,
           CASE WHEN ended_at IS NOT NULL AND state = %(state)s::text THEN cost_microcredits END,
           CASE WHEN %(state)s::text IN ('used', 'discarded') THEN estimate_microcredits ELSE 0 END)
 WHERE attempt_id = %(attempt_id)s::uuid
   AND (ended_at IS NULL OR state = %(state)s::text
        OR state IN ('failed', 'canceled') AND %(state)s::text = 'discarded');

-- name: of_generation
SELECT attempt_id::text, generation_id::text, account_id::text, number, provider, native_model, state,
       estimate_microcredits, cost_microcredits, job_id, job_handle, adopted, submissions, failure, begun_at,
       accepted_at, ended_at
  FROM store.attempts WHERE generation_id = %(generation_id)s::uuid ORDER BY number;

-- name: get
SELECT attempt_id::text, generation_id::text, account_id::text, number, provider, native_model, state,
       estimate_microcredits, cost_microcredits, job_id, job_handle, adopted, submissions, failure, begun_at,
       accepted_at, ended_at
  FROM store.attempts WHERE attempt_id = %(attempt_id)s::uuid;
