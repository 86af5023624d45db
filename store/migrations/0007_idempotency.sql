-- Idempotency-Key of the generate routes: who is answering a request now, and what was answered.

CREATE TABLE store.idempotency_keys (
    account_id     uuid NOT NULL REFERENCES store.accounts,
    key            text NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
    fingerprint    text NOT NULL,
    generation_id  uuid NOT NULL,
    lease_until    timestamptz NOT NULL,
    expires_at     timestamptz NOT NULL,
    status         integer,
    response       bytea,
    PRIMARY KEY (account_id, key),
    CONSTRAINT answered_whole CHECK ((status IS NULL) = (response IS NULL))
) WITH (fillfactor = 60);

CREATE INDEX idempotency_keys_expiry ON store.idempotency_keys (expires_at);

-- Claim a key: new | replay | mismatch | in_progress | recover. `recover` means that the first request died after its
-- generation was recorded: finish its answer from that record. A claim that died before is taken over.
CREATE FUNCTION store.claim_idempotency_key(
    p_account_id uuid, p_key text, p_fingerprint text, p_generation_id uuid, p_lease_s double precision,
    p_life_s double precision,
    OUT answer text, OUT generation_id uuid, OUT status integer, OUT response bytea
)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    now   CONSTANT timestamptz := clock_timestamp();
    lease CONSTANT timestamptz := now + make_interval(secs => p_lease_s);
    ends  CONSTANT timestamptz := now + make_interval(secs => p_life_s);
    claim store.idempotency_keys;
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
    answer := CASE
        WHEN claim.expires_at <= now THEN 'new'
        WHEN claim.response IS NULL AND claim.lease_until <= now AND NOT EXISTS (
            SELECT FROM store.generations AS recorded
             WHERE recorded.generation_id = claim.generation_id AND NOT recorded.abandoned) THEN 'new'
        WHEN claim.fingerprint <> p_fingerprint THEN 'mismatch'
        WHEN claim.response IS NOT NULL THEN 'replay'
        WHEN claim.lease_until > now THEN 'in_progress'
        ELSE 'recover'
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
