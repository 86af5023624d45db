-- Low-balance alerts, spending limits, and adjustments that two operators make.


-- Alerts. A threshold is armed while the balance is at or above it, and tells once when a transfer takes it below. What
-- a transfer has to compare stands in the row that it moves anyway: the highest armed threshold, and the lowest balance
-- at which one is armed again. So a transfer that crosses nothing pays for two comparisons.

ALTER TABLE store.accounts ADD COLUMN alerts_enabled boolean NOT NULL DEFAULT true;

ALTER TABLE ledger.books  -- of row 0, which has the available balance
    ADD COLUMN alert_below_micros bigint,  -- null: nothing is armed
    ADD COLUMN arm_from_micros    bigint;  -- null: all are armed

CREATE TABLE store.alert_thresholds (
    account_id        uuid NOT NULL REFERENCES store.accounts,
    threshold_micros  bigint NOT NULL CHECK (threshold_micros BETWEEN 1 AND 1000000000000000),
    arms_at_micros    bigint,  -- the balance that arms it; null: it is armed
    PRIMARY KEY (account_id, threshold_micros)
);

-- Each crossing, whether or not an endpoint wants to hear of it: what an automatic top-up answers.
CREATE TABLE store.low_balance_alerts (
    alert_id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    account_id         uuid NOT NULL,
    balance_micros     bigint NOT NULL,
    thresholds_micros  bigint[] NOT NULL,  -- all that the transfer crossed, highest first
    created_at         timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX low_balance_alerts_of_account ON store.low_balance_alerts (account_id, created_at);


-- Beside the balance stands what its next movement is compared with. Like whatever else locks a balance here it has its
-- owner's rights: the role of the running system may not write in schema ledger.
CREATE FUNCTION store.watch_thresholds() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    watched CONSTANT uuid := coalesce(NEW.account_id, OLD.account_id);
BEGIN
    UPDATE ledger.books
       SET alert_below_micros = watching.highest_armed, arm_from_micros = watching.first_to_arm
      FROM (SELECT max(threshold_micros) FILTER (WHERE arms_at_micros IS NULL) AS highest_armed,
                   min(arms_at_micros) AS first_to_arm
              FROM store.alert_thresholds JOIN store.accounts USING (account_id)
             WHERE account_id = watched AND alerts_enabled) AS watching
     WHERE account_id = watched AND shard = 0;
    RETURN NULL;
END $$;

CREATE TRIGGER watched AFTER INSERT OR UPDATE OR DELETE ON store.alert_thresholds
    FOR EACH ROW EXECUTE FUNCTION store.watch_thresholds();


-- The balance went below an armed threshold, or came back to one: in the transaction of the transfer, whose account is
-- locked, so that of fifty who cross at once one tells (C18). All thresholds that it crossed are one message.
CREATE FUNCTION store.watch_balance() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    crossed bigint[];
    shown   numeric;
BEGIN
    IF NEW.available_micros < NEW.alert_below_micros THEN
        WITH fired AS (
            UPDATE store.alert_thresholds
               SET arms_at_micros = threshold_micros + greatest(threshold_micros / 10, 1)  -- a margin, against flutter
             WHERE account_id = NEW.account_id AND arms_at_micros IS NULL AND threshold_micros > NEW.available_micros
            RETURNING threshold_micros
        )
        SELECT array_agg(threshold_micros ORDER BY threshold_micros DESC) INTO crossed FROM fired;
        shown := trim_scale((NEW.available_micros / 1000)::numeric / 1000);
        INSERT INTO store.low_balance_alerts (account_id, balance_micros, thresholds_micros)
        VALUES (NEW.account_id, NEW.available_micros, crossed);
        PERFORM store.enqueue_event(NEW.account_id, NULL, 'credits.low_balance', json_build_object(
            'account_id', NEW.account_id,
            'current_balance', shown,
            'thresholds_crossed', (
                SELECT json_agg(json_build_object(
                           'threshold', trim_scale(threshold::numeric / 1000000), 'balance_at', shown)
                           ORDER BY threshold DESC)
                  FROM unnest(crossed) AS threshold)));
    ELSIF NEW.available_micros >= NEW.arm_from_micros THEN
        UPDATE store.alert_thresholds SET arms_at_micros = NULL
         WHERE account_id = NEW.account_id AND arms_at_micros <= NEW.available_micros;
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER watch_balance AFTER UPDATE ON ledger.books
    FOR EACH ROW EXECUTE FUNCTION store.watch_balance();


-- The thresholds of an account from now on. One that stays keeps its state; a new one is armed at once where the balance
-- is above it; what is taken away or switched off is forgotten with its state.
CREATE FUNCTION store.set_alerts(p_account_id uuid, p_enabled boolean, p_thresholds_micros bigint[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    balance     bigint;
    was_enabled boolean;
BEGIN
    SELECT alerts_enabled INTO STRICT was_enabled FROM store.accounts
     WHERE account_id = p_account_id FOR NO KEY UPDATE;
    SELECT available_micros INTO STRICT balance FROM ledger.books  -- before the thresholds, as when one is crossed
     WHERE account_id = p_account_id AND shard = 0 FOR NO KEY UPDATE;
    DELETE FROM store.alert_thresholds
     WHERE account_id = p_account_id
       AND (threshold_micros <> ALL (p_thresholds_micros) OR was_enabled <> p_enabled);
    UPDATE store.accounts SET alerts_enabled = p_enabled
     WHERE account_id = p_account_id AND alerts_enabled <> p_enabled;
    INSERT INTO store.alert_thresholds (account_id, threshold_micros, arms_at_micros)
    SELECT p_account_id, threshold, CASE WHEN balance < threshold THEN threshold END
      FROM unnest(p_thresholds_micros) AS threshold
    ON CONFLICT DO NOTHING;
END $$;


-- Every account begins with one threshold: half a credit, armed by the first balance that reaches it.
CREATE FUNCTION store.watch_new_account() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO store.alert_thresholds (account_id, threshold_micros, arms_at_micros)
    VALUES (NEW.account_id, 500000, 500000);
    RETURN NULL;
END $$;

INSERT INTO store.alert_thresholds (account_id, threshold_micros, arms_at_micros)
SELECT account_id, 500000, CASE WHEN available_micros < 500000 THEN 500000 END
  FROM ledger.books WHERE shard = 0;

CREATE TRIGGER watch_new_account AFTER INSERT ON store.accounts  -- by its name after the one that opens the ledger
    FOR EACH ROW EXECUTE FUNCTION store.watch_new_account();


-- The deliveries of one event of a generation that still have to be rung, and with them what its account has to hear of
-- its credits: the transfer that causes such an event has nobody to ring it.
CREATE INDEX webhook_deliveries_of_credits ON store.webhook_deliveries (account_id)
    WHERE state = 'pending' AND event IN ('credits.low_balance', 'credits.spending_limit');

CREATE OR REPLACE FUNCTION store.pending_deliveries(p_generation_id uuid, p_event text) RETURNS uuid[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(array_agg(delivery_id ORDER BY created_at, delivery_id), '{}')
      FROM (SELECT delivery_id, created_at FROM store.webhook_deliveries
             WHERE generation_id = p_generation_id AND event = p_event AND purpose = 'event' AND state = 'pending'
            UNION ALL
            SELECT delivery_id, created_at
              FROM store.webhook_deliveries AS of_credits
             WHERE of_credits.account_id = (SELECT account_id FROM store.generations
                                             WHERE generation_id = p_generation_id)
               AND state = 'pending' AND event IN ('credits.low_balance', 'credits.spending_limit')
               AND purpose = 'event') AS pending
$$;


-- Spending limits, of an account or of one of its keys, for each day or month of UTC. What counts in a period is what its
-- generations hold and what was settled of them: a release gives back to the day on which the hold was made.

-- The first key of a line of rotations; null: this one. A limit goes with the line, so that rotating does not refill it.
ALTER TABLE store.api_keys ADD COLUMN line_id uuid;

CREATE TABLE store.spending_limits (
    limit_id      uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    account_id    uuid NOT NULL REFERENCES store.accounts,
    scope_id      uuid NOT NULL,  -- the account, or a line of its keys
    period        text NOT NULL CHECK (period IN ('day', 'month')),
    is_hard       boolean NOT NULL,  -- hard: refuses; soft: tells, once per period
    limit_micros  bigint NOT NULL CHECK (limit_micros BETWEEN 0 AND 1000000000000000),
    told_for      date,  -- the first day of the period that a soft one has told of
    created_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT spending_limits_once UNIQUE (account_id, scope_id, period, is_hard)
);

-- What was spent on each day, of accounts that have limits and by their keys.
CREATE TABLE store.spending (
    scope_id      uuid NOT NULL,
    day           date NOT NULL,
    spent_micros  bigint NOT NULL,
    PRIMARY KEY (scope_id, day)
);

-- Counted with the whole hold, whose end has not been looked at yet. Nobody has to remember to give back: whoever counts
-- next looks at the holds themselves.
CREATE TABLE store.spending_open (
    generation_id  uuid PRIMARY KEY,
    account_id     uuid NOT NULL,
    line_id        uuid,
    day            date NOT NULL,
    amount_micros  bigint NOT NULL
);
CREATE INDEX spending_open_of_account ON store.spending_open (account_id);


-- Give back what ended holds left of their amounts. The caller has locked the limits of the account.
CREATE FUNCTION store.give_back_spending(p_account_id uuid) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    WITH ended AS (
        DELETE FROM store.spending_open AS counted USING ledger.holds AS hold
         WHERE counted.account_id = p_account_id
           AND (hold.account_id, hold.work_id, hold.try_number) = (counted.account_id, counted.generation_id, 1)
           AND (hold.state = 'settled'
                OR hold.state <> 'held' AND NOT EXISTS (  -- released, but it may still be delivered
                    SELECT FROM store.generations AS generation
                     WHERE generation.generation_id = counted.generation_id AND generation.completed_at IS NULL))
        RETURNING counted.account_id, counted.line_id, counted.day, counted.amount_micros - hold.settled_micros AS unspent
    )
    UPDATE store.spending AS spent SET spent_micros = spent_micros - back.unspent
      FROM (SELECT scope_id, day, sum(unspent) AS unspent
              FROM ended CROSS JOIN LATERAL (VALUES (account_id), (line_id)) AS counted_for (scope_id)
             GROUP BY scope_id, day) AS back
     WHERE (spent.scope_id, spent.day) = (back.scope_id, back.day) AND back.unspent <> 0
$$;


-- Count one hold, or refuse it with SQLSTATE BSL01 and the limit as JSON in the detail. The account's reservations come
-- here one after the other, because the balance that they have moved is locked; the limits are locked against operators.
CREATE FUNCTION store.count_spending(
    p_account_id uuid, p_api_key_id uuid, p_generation_id uuid, p_amount_micros bigint, p_at timestamptz
) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    today     CONSTANT date := (p_at AT TIME ZONE 'UTC')::date;
    key_line  uuid;
    the_limit record;
    spent     bigint;
BEGIN
    PERFORM FROM store.spending_limits WHERE account_id = p_account_id ORDER BY limit_id FOR NO KEY UPDATE;
    PERFORM store.give_back_spending(p_account_id);
    SELECT coalesce(line_id, api_key_id) INTO key_line FROM store.api_keys
     WHERE api_key_id = p_api_key_id AND account_id = p_account_id;
    FOR the_limit IN
        SELECT *, date_trunc(period, today::timestamp)::date AS since,
               (date_trunc(period, today::timestamp) + ('1 ' || period)::interval)::date AS until
          FROM store.spending_limits
         WHERE account_id = p_account_id AND scope_id IN (p_account_id, key_line)
         ORDER BY is_hard DESC, limit_micros, limit_id
    LOOP
        SELECT coalesce(sum(spent_micros), 0) INTO spent FROM store.spending
         WHERE scope_id = the_limit.scope_id AND day >= the_limit.since AND day < the_limit.until;
        CONTINUE WHEN spent + p_amount_micros <= the_limit.limit_micros;
        IF the_limit.is_hard THEN
            RAISE EXCEPTION 'the spending limit is reached' USING ERRCODE = 'BSL01', DETAIL = json_build_object(
                'limited', CASE WHEN the_limit.scope_id = p_account_id THEN 'account' ELSE 'key' END,
                'period', the_limit.period, 'limit_microcredits', the_limit.limit_micros,
                'spent_microcredits', spent, 'ends_on', the_limit.until)::text;
        END IF;
        CONTINUE WHEN the_limit.told_for IS NOT DISTINCT FROM the_limit.since;
        UPDATE store.spending_limits SET told_for = the_limit.since WHERE limit_id = the_limit.limit_id;
        PERFORM store.enqueue_event(p_account_id, NULL, 'credits.spending_limit', json_build_object(
            'account_id', p_account_id,
            'api_key_id', CASE WHEN the_limit.scope_id <> p_account_id THEN the_limit.scope_id END,
            'period', the_limit.period,
            'period_started_at', to_char(the_limit.since, 'YYYY-MM-DD"T00:00:00.000Z"'),
            'limit', trim_scale(the_limit.limit_micros::numeric / 1000000),
            'spent', trim_scale((spent + p_amount_micros)::numeric / 1000000)));
    END LOOP;
    INSERT INTO store.spending AS counted (scope_id, day, spent_micros)
    SELECT scope_id, today, p_amount_micros FROM unnest(ARRAY[p_account_id, key_line]) AS scope_id
     WHERE scope_id IS NOT NULL
    ON CONFLICT (scope_id, day) DO UPDATE SET spent_micros = counted.spent_micros + excluded.spent_micros;
    INSERT INTO store.spending_open (generation_id, account_id, line_id, day, amount_micros)
    VALUES (p_generation_id, p_account_id, key_line, today, p_amount_micros);
END $$;


-- Begin to count for an account that had no limit until now: what it has spent this month so far, by the books; by its
-- keys, as far as there are records. The caller has locked the account's balance, which every reservation moves.
CREATE FUNCTION store.begin_counting(p_account_id uuid) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    month CONSTANT timestamptz := date_trunc('month', clock_timestamp(), 'UTC');
BEGIN
    DELETE FROM store.spending_open WHERE account_id = p_account_id;
    DELETE FROM store.spending
     WHERE scope_id = p_account_id OR scope_id IN (SELECT api_key_id FROM store.api_keys WHERE account_id = p_account_id);
    INSERT INTO store.spending_open (generation_id, account_id, line_id, day, amount_micros)
    SELECT hold.work_id, hold.account_id, coalesce(key.line_id, key.api_key_id),
           (hold.opened_at AT TIME ZONE 'UTC')::date, hold.amount_micros
      FROM ledger.holds AS hold
      LEFT JOIN store.generations AS generation ON generation.generation_id = hold.work_id
      LEFT JOIN store.api_keys AS key USING (api_key_id)
     WHERE hold.account_id = p_account_id AND hold.opened_at >= month AND hold.try_number = 1;
    INSERT INTO store.spending (scope_id, day, spent_micros)
    SELECT scope_id, day, sum(amount_micros)
      FROM store.spending_open CROSS JOIN LATERAL (VALUES (account_id), (line_id)) AS counted_for (scope_id)
     WHERE account_id = p_account_id AND scope_id IS NOT NULL
     GROUP BY scope_id, day;
    PERFORM store.give_back_spending(p_account_id);
END $$;


-- Make or change one limit; its id. A limit that was raised may tell again.
CREATE FUNCTION store.set_spending_limit(
    p_account_id uuid, p_scope_id uuid, p_period text, p_is_hard boolean, p_limit_micros bigint
) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    made uuid;
BEGIN
    PERFORM FROM ledger.books WHERE account_id = p_account_id AND shard = 0 FOR NO KEY UPDATE;
    IF NOT EXISTS (SELECT FROM store.spending_limits WHERE account_id = p_account_id) THEN
        PERFORM store.begin_counting(p_account_id);
    END IF;
    INSERT INTO store.spending_limits AS known (account_id, scope_id, period, is_hard, limit_micros)
    VALUES (p_account_id, p_scope_id, p_period, p_is_hard, p_limit_micros)
    ON CONFLICT ON CONSTRAINT spending_limits_once DO UPDATE
       SET limit_micros = excluded.limit_micros,
           told_for = CASE WHEN excluded.limit_micros <= known.limit_micros THEN known.told_for END
    RETURNING limit_id INTO made;
    RETURN made;
END $$;


-- A line of keys that is gone takes its limits with it.
CREATE FUNCTION store.forget_limits_of_key() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM store.spending_limits
     WHERE account_id = OLD.account_id AND scope_id = coalesce(OLD.line_id, OLD.api_key_id)
       AND NOT EXISTS (SELECT FROM store.api_keys
                        WHERE coalesce(line_id, api_key_id) = coalesce(OLD.line_id, OLD.api_key_id)
                          AND account_id = OLD.account_id);
    RETURN NULL;
END $$;

CREATE TRIGGER forget_limits AFTER DELETE ON store.api_keys
    FOR EACH ROW EXECUTE FUNCTION store.forget_limits_of_key();


-- As before, and what it holds is counted where the account has spending limits: after the reservation, so that either
-- this sees a new limit, or whoever makes one sees this. A hard limit refuses by an error, which undoes all.
CREATE OR REPLACE FUNCTION store.admit_generation(
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
                IF EXISTS (SELECT FROM store.spending_limits WHERE account_id = p_account_id)
                   AND p_quote_microcredits > 0
                THEN
                    PERFORM store.count_spending(p_account_id, p_api_key_id, p_generation_id, p_quote_microcredits, now);
                END IF;
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


-- An adjustment moves money on no outside fact, so it takes two operators: one proposes, another one approves.
CREATE TABLE store.adjustments (
    adjustment_id  uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    account_id     uuid NOT NULL REFERENCES store.accounts,
    amount_micros  bigint NOT NULL CHECK (amount_micros <> 0 AND abs(amount_micros) <= 1000000000000000),
    reason         text NOT NULL CHECK (length(reason) BETWEEN 1 AND 500),
    key            text NOT NULL UNIQUE CHECK (octet_length(key) BETWEEN 1 AND 255),
    proposed_by    uuid NOT NULL REFERENCES store.operators,
    proposed_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at     timestamptz NOT NULL,
    decided_by     uuid REFERENCES store.operators,
    decided_at     timestamptz,
    state          text NOT NULL DEFAULT 'proposed' CHECK (state IN ('proposed', 'approved', 'rejected')),
    CONSTRAINT decided_means_by_whom
        CHECK ((state = 'proposed') = (decided_by IS NULL) AND (decided_by IS NULL) = (decided_at IS NULL)),
    CONSTRAINT approved_by_another CHECK (state <> 'approved' OR decided_by <> proposed_by)
);
CREATE INDEX adjustments_of_account ON store.adjustments (account_id, proposed_at);
