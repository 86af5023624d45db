-- What attempts cost stays when their records go; and alerts that look ahead.


-- A provider's bill comes after the records of some plans are gone. Of each attempt that ended this much is kept, so that
-- the bill can be compared job by job, and the margin of a month does not shrink when its records are removed.
CREATE TABLE store.kept_costs (
    attempt_id         uuid PRIMARY KEY,
    generation_id      uuid NOT NULL,
    account_id         uuid NOT NULL,
    model              text NOT NULL,
    provider           text NOT NULL,
    native_model       text NOT NULL,
    job_id             text,
    state              text NOT NULL,
    cost_microcredits  bigint NOT NULL,
    begun_at           timestamptz NOT NULL,
    ended_at           timestamptz NOT NULL
);
CREATE INDEX kept_costs_of_provider ON store.kept_costs (provider, begun_at, attempt_id);

-- As before, and with the cost of each attempt by itself.
CREATE OR REPLACE FUNCTION store.archive_usage(p_generation_ids uuid[]) RETURNS void
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

    INSERT INTO store.kept_costs
        (attempt_id, generation_id, account_id, model, provider, native_model, job_id, state, cost_microcredits, begun_at,
         ended_at)
    SELECT attempt.attempt_id, generation_id, attempt.account_id, generation.model, attempt.provider,
           attempt.native_model, attempt.job_id, attempt.state, attempt.cost_microcredits, attempt.begun_at,
           attempt.ended_at
      FROM store.attempts AS attempt JOIN store.generations AS generation USING (generation_id)
     WHERE generation_id = ANY (going) AND attempt.ended_at IS NOT NULL
    ON CONFLICT DO NOTHING;

    INSERT INTO store.archived_generations AS archived (account_id, hour, generations)
    SELECT account_id, date_trunc('hour', created_at, 'UTC'), count(*)
      FROM store.generations WHERE generation_id = ANY (going)
     GROUP BY 1, 2
     ORDER BY 1, 2
    ON CONFLICT (account_id, hour) DO UPDATE SET generations = archived.generations + excluded.generations;
END $$;

-- As before, records that retention has removed included. A generation that delivered has one attempt that was used.
CREATE OR REPLACE VIEW ledger.margins AS
SELECT account_id, model, provider, day, sum(revenue_micros)::bigint AS revenue_micros,
       sum(cost_micros)::bigint AS cost_micros, (sum(revenue_micros) - sum(cost_micros))::bigint AS margin_micros
  FROM (
    SELECT generation.account_id, generation.model, generation.provider_used AS provider,
           (generation.completed_at AT TIME ZONE 'UTC')::date AS day,
           hold.settled_micros - hold.refunded_micros AS revenue_micros, 0 AS cost_micros
      FROM store.generations AS generation
      JOIN ledger.holds AS hold
        ON (hold.account_id, hold.work_id, hold.try_number) = (generation.account_id, generation.generation_id, 1)
     WHERE generation.status = 'succeeded'
    UNION ALL
    SELECT attempt.account_id, generation.model, attempt.provider, (attempt.ended_at AT TIME ZONE 'UTC')::date,
           0, attempt.cost_microcredits
      FROM store.attempts AS attempt JOIN store.generations AS generation USING (generation_id)
     WHERE attempt.ended_at IS NOT NULL
    UNION ALL
    SELECT kept.account_id, kept.model, kept.provider, (kept.ended_at AT TIME ZONE 'UTC')::date,
           coalesce(hold.settled_micros - hold.refunded_micros, 0), kept.cost_microcredits
      FROM store.kept_costs AS kept
      LEFT JOIN ledger.holds AS hold
        ON (hold.account_id, hold.work_id, hold.try_number) = (kept.account_id, kept.generation_id, 1)
       AND kept.state = 'used'
  ) AS booked
 GROUP BY account_id, model, provider, day;


-- Runways. "At the last hour's rate, empty in less than so many hours": a rate needs a clock, so this is no matter of a
-- transfer; the sweep of every few minutes looks. What an account has spent in all, settled or held, is the sum of its
-- books, so the rate is the difference between two looks, however many transfers were in between.
CREATE TABLE store.runway_rules (
    account_id      uuid PRIMARY KEY REFERENCES store.accounts,
    hours           integer NOT NULL CHECK (hours BETWEEN 1 AND 720),
    arms_at_micros  numeric,  -- it has told, and this balance arms it again; null: it is armed
    told_at         timestamptz
);

CREATE TABLE store.runway_looks (
    account_id    uuid NOT NULL REFERENCES store.runway_rules ON DELETE CASCADE,
    looked_at     timestamptz NOT NULL,
    spent_micros  bigint NOT NULL,  -- until then, since ever
    PRIMARY KEY (account_id, looked_at)
);

-- Look at one account: the deliveries to be rung. Whoever else looks at it waits, and then finds that it was told.
CREATE FUNCTION store.watch_runway(p_account_id uuid, p_at timestamptz DEFAULT clock_timestamp()) RETURNS uuid[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    rule      store.runway_rules;
    since     store.runway_looks;
    balance   numeric;
    spent     bigint;
    per_hour  numeric;
    shown     numeric;
BEGIN
    SELECT rules.* INTO rule FROM store.runway_rules AS rules JOIN store.accounts AS account USING (account_id)
     WHERE account_id = p_account_id AND account.alerts_enabled AND account.closed_at IS NULL
       FOR NO KEY UPDATE OF rules;
    IF NOT FOUND THEN
        RETURN '{}';
    END IF;
    SELECT sum(available_micros), sum(held_micros + revenue_micros) INTO balance, spent
      FROM ledger.books WHERE account_id = p_account_id;
    SELECT * INTO since FROM store.runway_looks  -- an hour ago, or as long ago as there was a look
     WHERE account_id = p_account_id AND looked_at <= p_at
     ORDER BY looked_at > p_at - interval '1 hour', abs(extract(epoch FROM p_at - interval '1 hour' - looked_at))
     LIMIT 1;
    DELETE FROM store.runway_looks WHERE account_id = p_account_id AND looked_at < since.looked_at;
    INSERT INTO store.runway_looks VALUES (p_account_id, p_at, spent) ON CONFLICT DO NOTHING;

    -- Of less than an hour no rate is made up; after a longer break it is the mean.
    per_hour := greatest(spent - coalesce(since.spent_micros, spent), 0)
        / greatest(extract(epoch FROM p_at - coalesce(since.looked_at, p_at)) / 3600, 1);
    IF balance >= rule.arms_at_micros OR per_hour > 0 AND balance >= per_hour * rule.hours * 1.1 THEN
        UPDATE store.runway_rules SET arms_at_micros = NULL WHERE account_id = p_account_id;
        rule.arms_at_micros := NULL;
    END IF;
    IF rule.arms_at_micros IS NOT NULL OR balance >= per_hour * rule.hours THEN
        RETURN '{}';
    END IF;
    UPDATE store.runway_rules
       SET arms_at_micros = ceil(per_hour * rule.hours * 1.1), told_at = p_at  -- a margin, against flutter
     WHERE account_id = p_account_id;
    RETURN store.enqueue_event(p_account_id, NULL, 'credits.low_runway', json_build_object(
        'account_id', p_account_id,
        'current_balance', trim_scale(trunc(balance / 1000000, 3)),
        'spent_last_hour', trim_scale(trunc(per_hour / 1000000, 3)),
        'hours_left', trim_scale(trunc(balance / per_hour, 1)),
        'hours_threshold', rule.hours));
END $$;

-- The rule of an account from now on; null: none. A new one, or one switched off or on, knows nothing of before: the
-- rate counts from here. Call it before `store.set_alerts`, which switches.
CREATE FUNCTION store.set_runway(p_account_id uuid, p_enabled boolean, p_hours integer) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM FROM store.accounts WHERE account_id = p_account_id FOR NO KEY UPDATE;
    DELETE FROM store.runway_rules
     WHERE account_id = p_account_id
       AND (hours IS DISTINCT FROM p_hours
            OR p_enabled <> (SELECT alerts_enabled FROM store.accounts WHERE account_id = p_account_id));
    IF p_hours IS NULL THEN
        RETURN;
    END IF;
    INSERT INTO store.runway_rules (account_id, hours) VALUES (p_account_id, p_hours) ON CONFLICT DO NOTHING;
    IF FOUND THEN
        INSERT INTO store.runway_looks (account_id, looked_at, spent_micros)
        SELECT p_account_id, clock_timestamp(), sum(held_micros + revenue_micros)
          FROM ledger.books WHERE account_id = p_account_id;
    END IF;
END $$;
