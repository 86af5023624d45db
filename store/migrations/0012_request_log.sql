-- What authenticated requests asked and were answered; and how much an account has used, also of what is gone.

-- One row per authenticated request: no address, no key, no body. Key name and prefix are the key's own columns. Rows go
-- with their key, or by age. There are no foreign keys: a check per row would cost more than the row.
CREATE TABLE store.request_log (
    account_id           uuid NOT NULL,
    occurred_at          timestamptz NOT NULL,  -- when the request came
    log_id               bigint NOT NULL GENERATED ALWAYS AS IDENTITY,  -- tells requests of one moment apart
    api_key_id           uuid NOT NULL,
    request_id           text NOT NULL,  -- as answered: a replay has that of the first request
    key_state            text NOT NULL CHECK (key_state IN ('active', 'rotated')),
    method               text NOT NULL,
    path                 text NOT NULL,
    endpoint             text NOT NULL,  -- the route's template
    query                text,  -- known parameters only
    status               smallint NOT NULL,
    code                 text,  -- BSEdddd of a refusal
    replayed             boolean NOT NULL,
    client_ip_hash       bytea CHECK (octet_length(client_ip_hash) = 32),  -- keyed and salted per account
    user_agent           text,
    sdk_name             text,
    sdk_version          text,
    sdk_runtime          text,
    sdk_runtime_version  text,
    duration_ms          integer NOT NULL,
    PRIMARY KEY (account_id, occurred_at, log_id)  -- the way of the listing, newest first, and of the retention
);

CREATE INDEX request_log_of_key ON store.request_log (api_key_id);

-- How often, by hour: these stay when rows go.
CREATE TABLE store.request_stats (
    account_id  uuid NOT NULL,
    hour        timestamptz NOT NULL,
    endpoint    text NOT NULL,
    status      smallint NOT NULL,
    code        text NOT NULL,  -- empty where there was none
    requests    bigint NOT NULL,
    PRIMARY KEY (account_id, hour, endpoint, status, code)
) WITH (fillfactor = 70);  -- the rows of this hour change all the time: room for updates within the page

-- Which batch each API process wrote last: one whose answer was lost is sent again, and counts once.
CREATE TABLE store.request_log_writers (
    writer_id   uuid PRIMARY KEY,
    batch       bigint NOT NULL,
    written_at  timestamptz NOT NULL
) WITH (fillfactor = 50);

-- Deleted keys with more rows than were removed at once. Nobody is shown these any more; the sweep removes them.
CREATE TABLE store.forgotten_keys (
    api_key_id  uuid PRIMARY KEY
);

-- Remove rows of a key, so many at most that it takes about a second. True: none is left.
CREATE FUNCTION store.forget_requests(p_api_key_id uuid, p_limit integer DEFAULT 500000) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    removed bigint;
BEGIN
    DELETE FROM store.request_log WHERE ctid = ANY (
        ARRAY(SELECT ctid FROM store.request_log WHERE api_key_id = p_api_key_id LIMIT p_limit));
    GET DIAGNOSTICS removed = ROW_COUNT;
    RETURN removed < p_limit;
END $$;

CREATE FUNCTION store.forget_requests_of_key() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT store.forget_requests(OLD.api_key_id) THEN
        INSERT INTO store.forgotten_keys (api_key_id) VALUES (OLD.api_key_id);
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER forget_requests AFTER DELETE ON store.api_keys
    FOR EACH ROW EXECUTE FUNCTION store.forget_requests_of_key();


-- What usage counts of generations whose records are gone, by the hour of their creation.
CREATE TABLE store.archived_generations (
    account_id   uuid NOT NULL,
    hour         timestamptz NOT NULL,
    generations  bigint NOT NULL,
    PRIMARY KEY (account_id, hour)
) WITH (fillfactor = 70);

CREATE TABLE store.archived_attempts (
    account_id         uuid NOT NULL,
    hour               timestamptz NOT NULL,  -- of the generation's creation
    provider           text NOT NULL,
    state              text NOT NULL,
    attempts           bigint NOT NULL,
    cost_microcredits  bigint NOT NULL,
    PRIMARY KEY (account_id, hour, provider, state)
) WITH (fillfactor = 70);

-- Deleted ones are counted too; the index of the listing has the others.
CREATE INDEX generations_deleted ON store.generations (account_id, created_at) WHERE deleted_at IS NOT NULL;

-- What an attempt costs us: what the provider charges, and until that is known what it is expected to.
CREATE VIEW store.attempt_costs AS
SELECT generation_id, provider, state,
       coalesce(cost_microcredits, CASE WHEN state = 'refused' THEN 0 ELSE estimate_microcredits END)
           AS cost_microcredits
  FROM store.attempts;

-- Keep what usage counts of these generations, whose records and attempts the caller deletes in the same transaction.
-- They are locked until its end, so two callers cannot both keep one.
CREATE FUNCTION store.archive_usage(p_generation_ids uuid[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    going uuid[];
BEGIN
    SELECT coalesce(array_agg(generation_id), '{}') INTO going
      FROM (SELECT generation_id FROM store.generations
             WHERE generation_id = ANY (p_generation_ids) ORDER BY generation_id FOR UPDATE) AS locked;

    INSERT INTO store.archived_attempts AS archived (account_id, hour, provider, state, attempts, cost_microcredits)
    SELECT generation.account_id, date_trunc('hour', generation.created_at, 'UTC'), attempt.provider, attempt.state,
           count(*), sum(attempt.cost_microcredits)
      FROM store.generations AS generation JOIN store.attempt_costs AS attempt USING (generation_id)
     WHERE generation_id = ANY (going)
     GROUP BY 1, 2, 3, 4
     ORDER BY 1, 2, 3, 4
    ON CONFLICT (account_id, hour, provider, state) DO UPDATE
       SET attempts = archived.attempts + excluded.attempts,
           cost_microcredits = archived.cost_microcredits + excluded.cost_microcredits;

    INSERT INTO store.archived_generations AS archived (account_id, hour, generations)
    SELECT account_id, date_trunc('hour', created_at, 'UTC'), count(*)
      FROM store.generations WHERE generation_id = ANY (going)
     GROUP BY 1, 2
     ORDER BY 1, 2
    ON CONFLICT (account_id, hour) DO UPDATE SET generations = archived.generations + excluded.generations;
END $$;
