-- A request that dies leaves its Idempotency-Key claimed for the minute of its lease. Where its generation has been on
-- record for a while, or was abandoned for good, what comes of the key is known before: nobody has to wait for the minute.

-- As in 0007, and: `recover` where the record and the claim are five seconds old, in which whoever lives has answered;
-- `new` where the generation was abandoned, because it will never be admitted.
CREATE OR REPLACE FUNCTION store.claim_idempotency_key(
    p_account_id uuid, p_key text, p_fingerprint text, p_generation_id uuid, p_lease_s double precision,
    p_life_s double precision,
    OUT answer text, OUT generation_id uuid, OUT status integer, OUT response bytea
)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    patience CONSTANT interval := '5 seconds';
    now      CONSTANT timestamptz := clock_timestamp();
    lease    CONSTANT timestamptz := now + make_interval(secs => p_lease_s);
    ends     CONSTANT timestamptz := now + make_interval(secs => p_life_s);
    claim    store.idempotency_keys;
    recorded store.generations;
BEGIN
    LOOP
        INSERT INTO store.idempotency_keys (account_id, key, fingerprint, generation_id, lease_until, expires_at)
        VALUES (p_account_id, p_key, p_fingerprint, p_generation_id, lease, ends)
        ON CONFLICT DO NOTHING;
        IF FOUND THEN
            answer := 'new';
            generation_id := p_generation_id;
            RETURN;
        END IF;
        SELECT * INTO claim FROM store.idempotency_keys AS known
         WHERE known.account_id = p_account_id AND known.key = p_key FOR UPDATE;
        EXIT WHEN FOUND;  -- else it was freed in between
    END LOOP;
    IF claim.response IS NULL THEN
        SELECT * INTO recorded FROM store.generations AS made WHERE made.generation_id = claim.generation_id;
    END IF;
    answer := CASE
        WHEN claim.expires_at <= now THEN 'new'
        WHEN claim.response IS NULL AND (recorded.abandoned OR claim.lease_until <= now AND recorded.abandoned IS NULL)
            THEN 'new'
        WHEN claim.fingerprint <> p_fingerprint THEN 'mismatch'
        WHEN claim.response IS NOT NULL THEN 'replay'
        WHEN claim.lease_until <= now THEN 'recover'
        WHEN recorded.created_at <= now - patience AND claim.lease_until <= lease - patience THEN 'recover'
        ELSE 'in_progress'
    END;
    IF answer = 'new' THEN
        UPDATE store.idempotency_keys AS known
           SET fingerprint = p_fingerprint, generation_id = p_generation_id, lease_until = lease, expires_at = ends,
               status = NULL, response = NULL
         WHERE known.account_id = p_account_id AND known.key = p_key;
        generation_id := p_generation_id;
        RETURN;
    END IF;
    IF answer = 'recover' THEN
        UPDATE store.idempotency_keys AS known SET lease_until = lease
         WHERE known.account_id = p_account_id AND known.key = p_key;
    END IF;
    generation_id := claim.generation_id;
    status := claim.status;
    response := claim.response;
END $$;
