-- What became of each field and provider when a generation was planned, how its outputs differ from what was asked, and
-- whether an account's refused content is shown to another provider.
--
-- The new last parameters have defaults: a worker that does not know them yet goes on, without a decision or deviations.

ALTER TABLE store.accounts ADD COLUMN moderation_failover boolean NOT NULL DEFAULT false;

ALTER TABLE store.generations ADD COLUMN deviations jsonb;  -- once succeeded; null before 0017 and without a success

-- Beside the generation, whose row is written three times: this one is written once. It holds no word of the customer's,
-- so it stays when the generation is deleted, and goes with its record.
CREATE TABLE store.decisions (
    generation_id  uuid PRIMARY KEY REFERENCES store.generations ON DELETE CASCADE,
    decision       jsonb NOT NULL
);

DROP FUNCTION store.admit_generation(
    uuid, uuid, text, text, text, jsonb, integer, text, text[], bigint, text, integer, double precision, uuid, uuid, uuid,
    integer);

DROP FUNCTION store.finish_generation(
    uuid, uuid, text, bigint, integer, text, bigint, double precision, text, text, jsonb, jsonb, text[]);

-- Record the generation and hold its quote: admitted | late | replayed | abandoned | full | insufficient | frozen |
-- foreign, or another word of ledger.reserve that nobody expects. Anything but `admitted` leaves no trace.
--
-- With a cap, admissions of one account and media type wait for each other, before any row is locked and until they
-- have committed. The balance would not do for that: a free generation does not touch it, and one that is not covered
-- does not lock it.
CREATE FUNCTION store.admit_generation(
    p_generation_id uuid, p_account_id uuid, p_region text, p_model text, p_media_type text, p_params jsonb,
    p_output_count integer, p_output_format text, p_provider_order text[], p_quote_microcredits bigint,
    p_price_version text, p_hold_s integer, p_admit_by double precision, p_prediction_id uuid, p_api_key_id uuid,
    p_replay_of uuid, p_in_flight_max integer DEFAULT NULL, p_decision jsonb DEFAULT NULL
) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    now       timestamptz;
    in_time   boolean;
    is_full   boolean := false;
    reserved  text;
    owner_id  uuid;
    given_up  boolean;
BEGIN
    IF p_in_flight_max IS NOT NULL THEN
        PERFORM pg_advisory_xact_lock(hashtextextended('in flight ' || p_account_id || ' ' || p_media_type, 0));
        is_full := p_in_flight_max <= (
            SELECT count(*) FROM (
                SELECT FROM store.generations
                 WHERE account_id = p_account_id AND media_type = p_media_type AND completed_at IS NULL
                   AND generation_id <> p_generation_id
                 LIMIT p_in_flight_max) AS others);
    END IF;
    now := clock_timestamp();
    in_time := now <= to_timestamp(p_admit_by);
    IF in_time AND NOT is_full THEN
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
                IF p_decision IS NOT NULL THEN
                    INSERT INTO store.decisions (generation_id, decision) VALUES (p_generation_id, p_decision);
                END IF;
                RETURN 'admitted';
            END IF;
            DELETE FROM store.generations WHERE generation_id = p_generation_id;
            RETURN reserved;
        END IF;
    END IF;
    SELECT account_id, abandoned INTO owner_id, given_up FROM store.generations WHERE generation_id = p_generation_id;
    RETURN CASE
        WHEN NOT FOUND AND NOT in_time THEN 'late'
        WHEN NOT FOUND AND is_full THEN 'full'
        WHEN NOT FOUND AND p_replay_of IS NOT NULL THEN 'replayed'
        WHEN NOT FOUND THEN 'late'
        WHEN owner_id <> p_account_id THEN 'foreign'
        WHEN given_up THEN 'abandoned'
        ELSE 'admitted'
    END;
END $$;


-- End the generation, once: its record, its assets, its attempts, its hold and the announcement in one transaction
-- (INV-30). Whoever comes second changes nothing and reads what is recorded. No row: unknown generation.
CREATE FUNCTION store.finish_generation(
    p_generation_id uuid, p_account_id uuid, p_status text, p_settle_microcredits bigint, p_attempt_number integer,
    p_provider_used text, p_cost_microcredits bigint, p_predict_time_s double precision, p_error_code text,
    p_error_message text, p_provider_errors jsonb, p_assets jsonb, p_output_urls text[],
    p_deviations jsonb DEFAULT NULL
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
           provider_errors = p_provider_errors,
           deviations = CASE WHEN succeeded THEN p_deviations END
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
