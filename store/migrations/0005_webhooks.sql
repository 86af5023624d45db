-- Webhook endpoints, the deliveries queued for them (the outbox), and the attempts at each delivery.

CREATE TABLE store.webhook_endpoints (
    endpoint_id           uuid PRIMARY KEY,  -- minted by the caller: the secret is sealed for it
    account_id            uuid NOT NULL REFERENCES store.accounts,
    url                   text NOT NULL CHECK (length(url) BETWEEN 1 AND 2048),
    secret_sealed         bytea NOT NULL,
    events                text[] NOT NULL CHECK (cardinality(events) > 0),
    enabled               boolean NOT NULL DEFAULT true,
    consecutive_failures  integer NOT NULL DEFAULT 0 CHECK (consecutive_failures >= 0),
    disabled_at           timestamptz,  -- by too many failures
    created_at            timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE INDEX webhook_endpoints_of_account ON store.webhook_endpoints (account_id);

CREATE TABLE store.webhook_deliveries (
    delivery_id    uuid PRIMARY KEY,
    endpoint_id    uuid NOT NULL REFERENCES store.webhook_endpoints,
    account_id     uuid NOT NULL,
    generation_id  uuid REFERENCES store.generations,
    event          text NOT NULL,
    body           text NOT NULL,  -- the exact bytes that are signed and sent, the same in every attempt
    state          text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'failed')),
    replay_of      uuid REFERENCES store.webhook_deliveries,
    created_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at       timestamptz,
    CONSTRAINT ended_means_when CHECK ((state = 'pending') = (ended_at IS NULL))
);

-- An event of a generation is sent once to an endpoint, however often the step that causes it is repeated.
CREATE UNIQUE INDEX webhook_deliveries_once ON store.webhook_deliveries (generation_id, event, endpoint_id)
    WHERE replay_of IS NULL;
CREATE INDEX webhook_deliveries_pending ON store.webhook_deliveries (created_at) WHERE state = 'pending';

CREATE TABLE store.webhook_attempts (
    delivery_id  uuid NOT NULL REFERENCES store.webhook_deliveries,
    number       integer NOT NULL CHECK (number >= 1),
    status_code  integer,
    error        text,
    reply_head   text,
    created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (delivery_id, number)
);


-- Queue one event for every enabled endpoint of the account that subscribes to it; the ids queued now. The body is
-- compact JSON in this order of fields, and what does not apply is left out; `domain/webhook_events.py` says the same.
CREATE FUNCTION store.enqueue_event(
    p_account_id uuid, p_generation_id uuid, p_event text, p_data json
) RETURNS uuid[]
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    WITH queued AS (
        INSERT INTO store.webhook_deliveries
            (delivery_id, endpoint_id, account_id, generation_id, event, created_at, body)
        SELECT delivery_id, endpoint_id, p_account_id, p_generation_id, p_event, at,
               json_strip_nulls(json_build_object(
                   'webhook_event', p_event,
                   'webhook_timestamp', to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
                   'webhook_delivery_id', delivery_id,
                   'webhook_data', p_data))::text
          FROM (SELECT endpoint_id, gen_random_uuid() AS delivery_id, clock_timestamp() AS at
                  FROM store.webhook_endpoints
                 WHERE account_id = p_account_id AND enabled AND p_event = ANY (events)
                OFFSET 0) AS subscribed  -- kept apart, so that id and time are drawn once per row
        ON CONFLICT DO NOTHING
        RETURNING delivery_id
    )
    SELECT coalesce(array_agg(delivery_id), '{}') FROM queued
$$;


-- The event that tells of a status.
CREATE FUNCTION store.event_of(p_status text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT 'generation.' || CASE p_status WHEN 'processing' THEN 'started' WHEN 'succeeded' THEN 'completed'
                                          ELSE p_status END
$$;


-- The deliveries of one event of a generation that still have to be rung.
CREATE FUNCTION store.pending_deliveries(p_generation_id uuid, p_event text) RETURNS uuid[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(array_agg(delivery_id ORDER BY created_at, delivery_id), '{}')
      FROM store.webhook_deliveries
     WHERE generation_id = p_generation_id AND event = p_event AND replay_of IS NULL AND state = 'pending'
$$;


-- One attempt at a delivery and what follows from it; the state of the delivery afterwards, null when unknown.
CREATE FUNCTION store.record_webhook_attempt(
    p_delivery_id uuid, p_number integer, p_status_code integer, p_error text, p_reply_head text, p_final boolean,
    p_failures_max integer
) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    succeeded CONSTANT boolean := coalesce(p_status_code BETWEEN 200 AND 299, false);
    delivery  store.webhook_deliveries;
BEGIN
    SELECT * INTO delivery FROM store.webhook_deliveries WHERE delivery_id = p_delivery_id FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    INSERT INTO store.webhook_attempts (delivery_id, number, status_code, error, reply_head)
    VALUES (p_delivery_id, p_number, p_status_code, p_error, p_reply_head)
    ON CONFLICT DO NOTHING;
    IF delivery.state <> 'pending' OR NOT (succeeded OR p_final) THEN
        RETURN delivery.state;
    END IF;
    delivery.state := CASE WHEN succeeded THEN 'delivered' ELSE 'failed' END;
    UPDATE store.webhook_deliveries SET state = delivery.state, ended_at = clock_timestamp()
     WHERE delivery_id = p_delivery_id;
    IF succeeded THEN
        UPDATE store.webhook_endpoints SET consecutive_failures = 0
         WHERE endpoint_id = delivery.endpoint_id AND consecutive_failures > 0;
    ELSE
        UPDATE store.webhook_endpoints
           SET consecutive_failures = consecutive_failures + 1,
               enabled = enabled AND consecutive_failures + 1 < p_failures_max,
               disabled_at = CASE WHEN enabled AND consecutive_failures + 1 >= p_failures_max
                                  THEN clock_timestamp() ELSE disabled_at END
         WHERE endpoint_id = delivery.endpoint_id;
    END IF;
    RETURN delivery.state;
END $$;
