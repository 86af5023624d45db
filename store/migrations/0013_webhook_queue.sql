-- What an endpoint misses while it is disabled waits in its queue. Tests, replays and what a drain sends are deliveries
-- of their own, each with a fresh id and time.

ALTER TABLE store.webhook_endpoints
    ADD COLUMN deleted_at timestamptz,  -- for good; the row stays for the log of its deliveries
    ADD CONSTRAINT deleted_is_disabled CHECK (deleted_at IS NULL OR NOT enabled);

ALTER TABLE store.webhook_deliveries
    ADD COLUMN purpose text NOT NULL DEFAULT 'event' CHECK (purpose IN ('event', 'test', 'replay', 'drain')),
    DROP CONSTRAINT webhook_deliveries_state_check,
    ADD CONSTRAINT webhook_deliveries_state_check
        CHECK (state IN ('pending', 'queued', 'delivered', 'failed', 'expired')),
    DROP CONSTRAINT ended_means_when,
    ADD CONSTRAINT ended_means_when CHECK ((state IN ('pending', 'queued')) = (ended_at IS NULL)),
    ADD CONSTRAINT only_events_are_queued CHECK (state NOT IN ('queued', 'expired') OR purpose = 'event'),
    DROP CONSTRAINT webhook_deliveries_replay_of_fkey,
    ADD CONSTRAINT webhook_deliveries_replay_of_fkey  -- the log forgets the older one first
        FOREIGN KEY (replay_of) REFERENCES store.webhook_deliveries ON DELETE SET NULL;

UPDATE store.webhook_deliveries SET purpose = CASE WHEN replay_of IS NULL THEN 'test' ELSE 'replay' END
 WHERE replay_of IS NOT NULL OR event = 'webhook.test';

-- An event of a generation is sent once to an endpoint, however often the step that causes it is repeated.
DROP INDEX store.webhook_deliveries_once;
CREATE UNIQUE INDEX webhook_deliveries_once ON store.webhook_deliveries (generation_id, event, endpoint_id)
    WHERE purpose = 'event';
-- A queued delivery is being sent by one drain at most.
CREATE UNIQUE INDEX webhook_deliveries_drained_once ON store.webhook_deliveries (replay_of)
    WHERE purpose = 'drain' AND state = 'pending';
CREATE INDEX webhook_deliveries_queued ON store.webhook_deliveries (endpoint_id, created_at, delivery_id)
    WHERE state = 'queued';
CREATE INDEX webhook_deliveries_expiring ON store.webhook_deliveries (created_at) WHERE state = 'queued';
CREATE INDEX webhook_deliveries_log ON store.webhook_deliveries (endpoint_id, created_at, delivery_id);
CREATE INDEX webhook_deliveries_again ON store.webhook_deliveries (replay_of) WHERE replay_of IS NOT NULL;


-- What is signed and sent: compact JSON in this order of fields, and what does not apply is left out.
-- `domain/webhook_events.py` says the same.
CREATE FUNCTION store.webhook_body(p_event text, p_delivery_id uuid, p_at timestamptz, p_data json) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT json_strip_nulls(json_build_object(
        'webhook_event', p_event,
        'webhook_timestamp', to_char(p_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
        'webhook_delivery_id', p_delivery_id,
        'webhook_data', p_data))::text
$$;


-- Write one event down for every endpoint of the account that subscribes to it: to be sent, or, while the endpoint is
-- disabled, into its queue. Answers the ids to be sent now.
CREATE OR REPLACE FUNCTION store.enqueue_event(
    p_account_id uuid, p_generation_id uuid, p_event text, p_data json
) RETURNS uuid[]
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    WITH noted AS (
        INSERT INTO store.webhook_deliveries
            (delivery_id, endpoint_id, account_id, generation_id, event, state, created_at, body)
        SELECT delivery_id, endpoint_id, p_account_id, p_generation_id, p_event,
               CASE WHEN enabled THEN 'pending' ELSE 'queued' END, at,
               store.webhook_body(p_event, delivery_id, at, p_data)
          FROM (SELECT endpoint_id, enabled, gen_random_uuid() AS delivery_id, clock_timestamp() AS at
                  FROM store.webhook_endpoints
                 WHERE account_id = p_account_id AND deleted_at IS NULL AND p_event = ANY (events)
                OFFSET 0) AS subscribed  -- kept apart, so that id and time are drawn once per row
        ON CONFLICT DO NOTHING
        RETURNING delivery_id, state
    )
    SELECT coalesce(array_agg(delivery_id) FILTER (WHERE state = 'pending'), '{}') FROM noted
$$;


-- The deliveries of one event of a generation that still have to be rung.
CREATE OR REPLACE FUNCTION store.pending_deliveries(p_generation_id uuid, p_event text) RETURNS uuid[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(array_agg(delivery_id ORDER BY created_at, delivery_id), '{}')
      FROM store.webhook_deliveries
     WHERE generation_id = p_generation_id AND event = p_event AND purpose = 'event' AND state = 'pending'
$$;


-- Add an endpoint, unless the account has enough of them; null then. The account is locked, so that two who add at
-- once do not both find room.
CREATE FUNCTION store.add_webhook_endpoint(
    p_endpoint_id uuid, p_account_id uuid, p_url text, p_secret_sealed bytea, p_events text[], p_endpoints_max integer
) RETURNS uuid
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM FROM store.accounts WHERE account_id = p_account_id FOR NO KEY UPDATE;
    IF (SELECT count(*) FROM store.webhook_endpoints WHERE account_id = p_account_id AND deleted_at IS NULL)
       >= p_endpoints_max
    THEN
        RETURN NULL;
    END IF;
    INSERT INTO store.webhook_endpoints (endpoint_id, account_id, url, secret_sealed, events)
    VALUES (p_endpoint_id, p_account_id, p_url, p_secret_sealed, p_events);
    RETURN p_endpoint_id;
END $$;


-- The same event to the same endpoint once more, with an id and a time of its own; null for an unknown delivery.
CREATE FUNCTION store.send_webhook_again(p_delivery_id uuid, p_purpose text) RETURNS uuid
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO store.webhook_deliveries
        (delivery_id, endpoint_id, account_id, generation_id, event, purpose, replay_of, created_at, body)
    SELECT fresh.delivery_id, first.endpoint_id, first.account_id, first.generation_id, first.event, p_purpose,
           first.delivery_id, fresh.at,
           store.webhook_body(first.event, fresh.delivery_id, fresh.at, first.body::json -> 'webhook_data')
      FROM store.webhook_deliveries AS first,
           (SELECT gen_random_uuid() AS delivery_id, clock_timestamp() AS at OFFSET 0) AS fresh
     WHERE first.delivery_id = p_delivery_id
    RETURNING delivery_id
$$;


-- What a drain sends next: the oldest in the queue, as a fresh delivery, once. A repeat of this step finds the one that
-- was made before. Null: the queue is empty, or the endpoint is disabled.
CREATE FUNCTION store.take_queued_webhook(p_endpoint_id uuid) RETURNS uuid
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    oldest uuid;
    taken  uuid;
BEGIN
    PERFORM FROM store.webhook_endpoints WHERE endpoint_id = p_endpoint_id AND enabled;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    SELECT delivery_id INTO oldest FROM store.webhook_deliveries
     WHERE endpoint_id = p_endpoint_id AND state = 'queued'
     ORDER BY created_at, delivery_id LIMIT 1
       FOR NO KEY UPDATE SKIP LOCKED;  -- what is locked is expiring
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    SELECT delivery_id INTO taken FROM store.webhook_deliveries
     WHERE replay_of = oldest AND purpose = 'drain' AND state = 'pending';
    RETURN coalesce(taken, store.send_webhook_again(oldest, 'drain'));
END $$;


-- One attempt at a delivery and what follows from it; the state of the delivery afterwards, null when unknown. Tests
-- and replays say nothing of the endpoint: they neither count as failures nor clear the count.
CREATE OR REPLACE FUNCTION store.record_webhook_attempt(
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
    IF delivery.purpose IN ('test', 'replay') THEN
        RETURN delivery.state;
    END IF;
    IF succeeded THEN
        UPDATE store.webhook_endpoints SET consecutive_failures = 0
         WHERE endpoint_id = delivery.endpoint_id AND consecutive_failures > 0;
        UPDATE store.webhook_deliveries SET state = 'delivered', ended_at = clock_timestamp()
         WHERE delivery.purpose = 'drain' AND delivery_id = delivery.replay_of AND state = 'queued';
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
