-- The steps of a generation, each one statement and so one transaction and one round trip: admit, begin an attempt,
-- accept it, finish. Each may be run again: it has the effect of once and gives the same answer.

-- Record the generation and hold its quote:
-- admitted | late | replayed | abandoned | insufficient | frozen | foreign, or another word of ledger.reserve that nobody expects.
-- Anything but `admitted` leaves no trace.
CREATE FUNCTION store.admit_generation(
    p_generation_id uuid, p_account_id uuid, p_region text, p_model text, p_media_type text, p_params jsonb,
    p_output_count integer, p_output_format text, p_provider_order text[], p_quote_microcredits bigint,
    p_price_version text, p_hold_s integer, p_admit_by double precision, p_prediction_id uuid, p_api_key_id uuid,
    p_replay_of uuid
) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    now       CONSTANT timestamptz := clock_timestamp();
    reserved  text;
    owner_id  uuid;
    given_up  boolean;
BEGIN
    IF now <= to_timestamp(p_admit_by) THEN
        INSERT INTO store.generations
            (generation_id, account_id, status, region, model, media_type, params, output_count, output_format,
             provider_order, quote_microcredits, price_version, api_key_id, replay_of, prediction_id, created_at)
        VALUES (p_generation_id, p_account_id, 'pending', p_region, p_model, p_media_type, p_params, p_output_count,
                p_output_format, p_provider_order, p_quote_microcredits, p_price_version, p_api_key_id, p_replay_of,
                p_prediction_id, now)
        ON CONFLICT DO NOTHING;
        IF FOUND THEN
            reserved := ledger.reserve(p_account_id, p_generation_id, 1, p_quote_microcredits, p_price_version,
                                       now + make_interval(secs => p_hold_s));
            IF reserved = 'held' THEN
                RETURN 'admitted';
            END IF;
            DELETE FROM store.generations WHERE generation_id = p_generation_id;
            RETURN reserved;
        END IF;
    END IF;
    SELECT account_id, abandoned INTO owner_id, given_up FROM store.generations WHERE generation_id = p_generation_id;
    RETURN CASE
        WHEN NOT FOUND AND p_replay_of IS NOT NULL AND now <= to_timestamp(p_admit_by) THEN 'replayed'
        WHEN NOT FOUND THEN 'late'
        WHEN owner_id <> p_account_id THEN 'foreign'
        WHEN given_up THEN 'abandoned'
        ELSE 'admitted'
    END;
END $$;


-- Write the intent to submit, or say why not: new | resubmit | ambiguous | accepted | closed. The generation is locked
-- against its end meanwhile, so no intent is ever written for one that has ended.
CREATE FUNCTION store.begin_attempt(
    p_attempt_id uuid, p_generation_id uuid, p_account_id uuid, p_number integer, p_provider text, p_native_model text,
    p_estimate_microcredits bigint,
    OUT answer text, OUT job_id text, OUT job_handle jsonb, OUT intended_at timestamptz
)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    now     CONSTANT timestamptz := clock_timestamp();
    attempt store.attempts;
BEGIN
    answer := 'closed';
    PERFORM FROM store.generations
      WHERE generation_id = p_generation_id AND account_id = p_account_id AND completed_at IS NULL FOR SHARE;
    IF NOT FOUND OR NOT EXISTS (  -- INV-27: no provider is called for work without an open hold
        SELECT FROM ledger.holds
         WHERE (account_id, work_id, try_number, state) = (p_account_id, p_generation_id, 1, 'held'))
    THEN
        RETURN;
    END IF;
    INSERT INTO store.attempts
        (attempt_id, generation_id, account_id, number, provider, native_model, state, estimate_microcredits, begun_at)
    VALUES (p_attempt_id, p_generation_id, p_account_id, p_number, p_provider, p_native_model, 'submitting',
            p_estimate_microcredits, now)
    ON CONFLICT DO NOTHING;
    IF FOUND THEN
        answer := 'new';
        intended_at := now;
        RETURN;
    END IF;
    UPDATE store.attempts AS refused
       SET state = 'submitting', submissions = submissions + 1, failure = NULL, begun_at = now
     WHERE refused.attempt_id = p_attempt_id AND refused.state = 'refused';
    IF FOUND THEN
        answer := 'resubmit';
        intended_at := now;
        RETURN;
    END IF;
    SELECT * INTO attempt FROM store.attempts AS existing WHERE existing.attempt_id = p_attempt_id;
    answer := CASE attempt.state
        WHEN 'submitting' THEN 'ambiguous'
        WHEN 'accepted' THEN 'accepted'
        ELSE 'closed'
    END;
    job_id := attempt.job_id;
    job_handle := attempt.job_handle;
    intended_at := attempt.begun_at;
END $$;


-- Keep the provider's job id; the first acceptance starts the generation and announces it. Answers the deliveries still
-- to be rung, or null for an unknown attempt. For an attempt that has ended meanwhile only the job is kept, so that it
-- can be canceled and accounted for.
CREATE FUNCTION store.accept_attempt(
    p_attempt_id uuid, p_job_id text, p_job_handle jsonb, p_adopted boolean
) RETURNS uuid[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    now        CONSTANT timestamptz := clock_timestamp();
    attempt    store.attempts;
    generation store.generations;
    is_first   boolean;
BEGIN
    SELECT * INTO attempt FROM store.attempts WHERE attempt_id = p_attempt_id;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    SELECT * INTO generation FROM store.generations  -- before the attempt, as everywhere
     WHERE generation_id = attempt.generation_id FOR NO KEY UPDATE;
    UPDATE store.attempts
       SET state = CASE WHEN ended_at IS NULL THEN 'accepted' ELSE state END,
           job_id = p_job_id, job_handle = p_job_handle, adopted = p_adopted, accepted_at = now
     WHERE attempt_id = p_attempt_id AND attempts.job_id IS NULL
    RETURNING ended_at INTO attempt.ended_at;
    IF FOUND AND attempt.ended_at IS NULL AND generation.completed_at IS NULL THEN
        is_first := generation.status = 'pending';
        UPDATE store.generations
           SET status = 'processing', started_at = coalesce(started_at, now), prediction_id = p_attempt_id
         WHERE generation_id = attempt.generation_id;
        IF is_first THEN
            PERFORM store.enqueue_event(generation.account_id, generation.generation_id, 'generation.started',
                json_build_object(
                    'account_id', generation.account_id,
                    'model_identifier', generation.model,
                    'generation_status', 'processing',
                    'generation_id', generation.generation_id,
                    'generation_provider_initialize', attempt.provider,
                    'generation_prediction_id', p_attempt_id));
        END IF;
    END IF;
    RETURN store.pending_deliveries(attempt.generation_id, 'generation.started');
END $$;


-- End the generation, once: its record, its assets, its attempts, its hold and the announcement in one transaction
-- (INV-30). Whoever comes second changes nothing and reads what is recorded. No row: unknown generation.
CREATE FUNCTION store.finish_generation(
    p_generation_id uuid, p_account_id uuid, p_status text, p_settle_microcredits bigint, p_attempt_number integer,
    p_provider_used text, p_cost_microcredits bigint, p_predict_time_s double precision, p_error_code text,
    p_error_message text, p_provider_errors jsonb, p_assets jsonb, p_output_urls text[]
) RETURNS TABLE (status text, deliveries uuid[], credits_released boolean)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    now        CONSTANT timestamptz := clock_timestamp();
    succeeded  CONSTANT boolean := p_status = 'succeeded';
    generation store.generations;
    word       text;
BEGIN
    UPDATE store.generations AS ending
       SET status = p_status,
           completed_at = now,
           settled_microcredits = CASE WHEN succeeded THEN p_settle_microcredits END,
           provider_used = CASE WHEN succeeded THEN p_provider_used END,
           prediction_id = coalesce(
               (SELECT delivering.attempt_id FROM store.attempts AS delivering
                 WHERE delivering.generation_id = p_generation_id AND delivering.number = p_attempt_number),
               ending.prediction_id),
           predict_time_s = p_predict_time_s,
           error_code = CASE WHEN p_status = 'failed' THEN p_error_code END,
           error_message = CASE WHEN p_status = 'failed' THEN p_error_message END,
           provider_errors = p_provider_errors
     WHERE ending.generation_id = p_generation_id AND ending.account_id = p_account_id AND ending.completed_at IS NULL
    RETURNING * INTO generation;
    IF NOT FOUND THEN
        RETURN QUERY
        SELECT ended.status, store.pending_deliveries(p_generation_id, store.event_of(ended.status)),
               EXISTS (SELECT FROM ledger.holds AS hold
                        WHERE hold.account_id = p_account_id AND hold.work_id = p_generation_id
                          AND hold.state IN ('released', 'expired'))
          FROM store.generations AS ended
         WHERE ended.generation_id = p_generation_id AND ended.account_id = p_account_id;
        RETURN;
    END IF;

    UPDATE store.attempts AS open
       SET state = ending.state, ended_at = now,
           cost_microcredits = coalesce(
               CASE WHEN ending.state = 'used' THEN p_cost_microcredits END,
               open.cost_microcredits,
               CASE WHEN ending.state IN ('used', 'discarded') THEN open.estimate_microcredits ELSE 0 END)
      FROM (SELECT attempt_id,
                   CASE
                       WHEN succeeded AND number = p_attempt_number THEN 'used'
                       WHEN p_status = 'canceled' THEN 'canceled'
                       WHEN p_status = 'failed' AND state <> 'submitting' THEN 'failed'
                       ELSE 'discarded'  -- a job may exist that nobody waits for any more
                   END AS state
              FROM store.attempts
             WHERE generation_id = p_generation_id AND ended_at IS NULL) AS ending
     WHERE open.attempt_id = ending.attempt_id;

    IF p_assets IS NOT NULL THEN
        INSERT INTO store.assets
            (generation_id, index, key, content_type, size_bytes, sha256, width, height, duration_s)
        SELECT p_generation_id, asset.position - 1, asset.key, asset.content_type, asset.size_bytes, asset.sha256,
               asset.width, asset.height, asset.duration_s
          FROM ROWS FROM (
                   jsonb_to_recordset(p_assets) AS (
                       key text, content_type text, size_bytes bigint, sha256 text, width integer, height integer,
                       duration_s double precision)
               ) WITH ORDINALITY
               AS asset (key, content_type, size_bytes, sha256, width, height, duration_s, position);
    END IF;

    word := CASE
        WHEN succeeded THEN ledger.settle(p_account_id, p_generation_id, 1, p_settle_microcredits)
        ELSE ledger.release(p_account_id, p_generation_id, 1, p_status)
    END;
    IF word NOT IN ('settled', 'recollected', 'shortfall', 'released', 'already_released') THEN
        RAISE EXCEPTION 'generation % cannot end as %: its hold says %', p_generation_id, p_status, word
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;

    PERFORM store.enqueue_event(p_account_id, p_generation_id, store.event_of(p_status),
        json_build_object(
            'account_id', p_account_id,
            'model_identifier', generation.model,
            'generation_status', p_status,
            'generation_id', p_generation_id,
            'generation_provider_used', CASE WHEN succeeded THEN p_provider_used END,
            'generation_prediction_id', CASE WHEN p_status <> 'failed' THEN generation.prediction_id END,
            'generation_output_file', CASE WHEN succeeded THEN to_json(p_output_urls) END,
            'generation_error', CASE WHEN p_status = 'failed' THEN p_error_message END,
            'generation_error_code', CASE WHEN p_status = 'failed' THEN p_error_code END,
            'credits_refunded', CASE WHEN p_status = 'canceled' THEN word IN ('released', 'already_released') END));
    RETURN QUERY
    SELECT p_status, store.pending_deliveries(p_generation_id, store.event_of(p_status)), word IN ('released', 'already_released');
END $$;
