-- Generations, the attempts made for them, and the assets they delivered.

CREATE TABLE store.generations (
    generation_id         uuid PRIMARY KEY,
    account_id            uuid NOT NULL REFERENCES store.accounts,
    status                text NOT NULL CHECK (status IN ('pending', 'processing', 'succeeded', 'failed', 'canceled')),
    abandoned             boolean NOT NULL DEFAULT false,  -- ended before it was admitted: nothing was ever held
    region                text NOT NULL,
    model                 text NOT NULL,
    media_type            text NOT NULL CHECK (media_type IN ('image', 'video')),
    params                jsonb NOT NULL,  -- the normal form, prompt included; emptied by a deletion
    output_count          integer NOT NULL CHECK (output_count >= 1),
    output_format         text NOT NULL,
    provider_order        text[] NOT NULL CHECK (cardinality(provider_order) > 0),
    price_version         text NOT NULL,
    quote_microcredits    bigint NOT NULL CHECK (quote_microcredits >= 0),
    settled_microcredits  bigint CHECK (settled_microcredits BETWEEN 0 AND quote_microcredits),
    api_key_id            uuid,
    replay_of             uuid,
    prediction_id         uuid NOT NULL,  -- the attempt accepted last; until then the first one
    provider_used         text,
    error_code            text,
    error_message         text,
    provider_errors       jsonb NOT NULL DEFAULT '[]',
    predict_time_s        double precision,
    created_at            timestamptz NOT NULL DEFAULT clock_timestamp(),
    started_at            timestamptz,
    completed_at          timestamptz,
    files_removed_at      timestamptz,
    deleted_at            timestamptz,
    CONSTRAINT ended_means_completed
        CHECK ((status IN ('succeeded', 'failed', 'canceled')) = (completed_at IS NOT NULL)),
    CONSTRAINT processing_means_started CHECK (status <> 'processing' OR started_at IS NOT NULL),
    CONSTRAINT failed_means_why CHECK ((status = 'failed') = (error_code IS NOT NULL)),
    CONSTRAINT succeeded_means_by_whom CHECK ((status = 'succeeded') = (provider_used IS NOT NULL)),
    CONSTRAINT succeeded_means_settled CHECK ((status = 'succeeded') = (settled_microcredits IS NOT NULL)),
    CONSTRAINT abandoned_means_failed CHECK (NOT abandoned OR status = 'failed'),
    CONSTRAINT deleted_means_ended CHECK (deleted_at IS NULL OR completed_at IS NOT NULL)
) WITH (fillfactor = 85);  -- room for pending -> processing within the page

CREATE INDEX generations_page ON store.generations (account_id, created_at DESC, generation_id DESC)
    WHERE deleted_at IS NULL;
-- Not by status: so the step from pending to processing touches no index.
CREATE INDEX generations_in_flight ON store.generations (account_id, media_type) WHERE completed_at IS NULL;

-- An ended generation keeps its end, and none goes back.
CREATE FUNCTION store.refuse() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION '% of %.% is refused: %', TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME, TG_ARGV[0]
        USING ERRCODE = 'restrict_violation';
END $$;

CREATE TRIGGER life_cycle AFTER UPDATE ON store.generations
    FOR EACH ROW WHEN (OLD.status <> NEW.status AND (OLD.completed_at IS NOT NULL OR NEW.status = 'pending'))
    EXECUTE FUNCTION store.refuse('no transition leads there');


CREATE TABLE store.attempts (
    attempt_id             uuid PRIMARY KEY,
    generation_id          uuid NOT NULL REFERENCES store.generations,
    account_id             uuid NOT NULL,
    number                 integer NOT NULL CHECK (number >= 1),
    provider               text NOT NULL,
    native_model           text NOT NULL,
    state                  text NOT NULL CHECK (state IN (
                               'submitting', 'refused', 'accepted', 'used', 'failed', 'canceled', 'discarded')),
    estimate_microcredits  bigint NOT NULL CHECK (estimate_microcredits >= 0),
    cost_microcredits      bigint CHECK (cost_microcredits >= 0),  -- what the provider charges us; null until known
    job_id                 text,
    job_handle             jsonb,
    adopted                boolean NOT NULL DEFAULT false,  -- found again after an ambiguous submit
    submissions            integer NOT NULL DEFAULT 1,  -- how often an intent was written
    failure                jsonb,
    begun_at               timestamptz NOT NULL,  -- of the last intent
    accepted_at            timestamptz,
    ended_at               timestamptz,
    UNIQUE (generation_id, number),
    CONSTRAINT accepted_means_job CHECK (state NOT IN ('accepted', 'used') OR job_id IS NOT NULL),
    CONSTRAINT ended_means_when
        CHECK ((state IN ('used', 'failed', 'canceled', 'discarded')) = (ended_at IS NOT NULL)),
    CONSTRAINT ended_means_cost CHECK (ended_at IS NULL OR cost_microcredits IS NOT NULL)
) WITH (fillfactor = 70);  -- each attempt is written about three times

-- A provider's job belongs to one attempt, so that an adopted job is never another customer's.
CREATE UNIQUE INDEX attempts_job ON store.attempts (provider, job_id) WHERE job_id IS NOT NULL;

-- The ends that are final, and the two that a late delivery turns into 'discarded'.
CREATE TRIGGER life_cycle AFTER UPDATE ON store.attempts
    FOR EACH ROW WHEN (
        OLD.state <> NEW.state AND OLD.ended_at IS NOT NULL
        AND NOT (OLD.state IN ('failed', 'canceled') AND NEW.state = 'discarded')
    )
    EXECUTE FUNCTION store.refuse('an attempt ends once');


CREATE TABLE store.assets (
    generation_id  uuid NOT NULL REFERENCES store.generations,
    index          integer NOT NULL CHECK (index >= 0),
    key            text NOT NULL,  -- holds the attempt's id, so no two generations can claim the same object
    content_type   text NOT NULL,
    size_bytes     bigint NOT NULL CHECK (size_bytes > 0),
    sha256         text NOT NULL CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    width          integer CHECK (width > 0),
    height         integer CHECK (height > 0),
    duration_s     double precision CHECK (duration_s >= 0),
    PRIMARY KEY (generation_id, index)
);
