-- Admission counts what the account has in flight: its plan's cap holds whoever else is being admitted at that moment.
-- A slot is a generation that has not ended, so nothing has to be given back, and none can be lost.

-- The new last parameter has a default: a worker that does not know it yet goes on, without a cap.
DROP FUNCTION store.admit_generation(
    uuid, uuid, text, text, text, jsonb, integer, text, text[], bigint, text, integer, double precision, uuid, uuid, uuid);

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
    p_replay_of uuid, p_in_flight_max integer DEFAULT NULL
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
