-- What came from Stripe: its events, the payments behind them and what was done about each. Nothing of an event's payload
-- is kept but the ids that it names. Amounts in `minor` are whole minor units of the currency.

CREATE TABLE store.stripe_customers (
    customer_id  text PRIMARY KEY,
    account_id   uuid NOT NULL REFERENCES store.accounts,
    linked_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    gone_at      timestamptz  -- deleted there; what still comes of it belongs to the account all the same
);
CREATE UNIQUE INDEX stripe_customers_one_per_account ON store.stripe_customers (account_id) WHERE gone_at IS NULL;

CREATE TABLE store.stripe_events (
    event_id        text PRIMARY KEY,
    type            text NOT NULL,
    created_at      timestamptz NOT NULL,  -- there
    livemode        boolean NOT NULL,
    stripe_account  text,
    object_type     text NOT NULL,
    object_id       text NOT NULL,
    state           text NOT NULL DEFAULT 'received' CHECK (state IN ('received', 'applied', 'ignored', 'parked')),
    reason          text,
    message         text,
    tries           integer NOT NULL DEFAULT 0,
    received_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    tried_at        timestamptz,
    CONSTRAINT parked_means_why CHECK ((state = 'parked') = (reason IS NOT NULL))
);
CREATE INDEX stripe_events_waiting ON store.stripe_events (received_at, event_id) WHERE state IN ('received', 'parked');
CREATE INDEX stripe_events_log ON store.stripe_events (received_at, event_id);

CREATE TABLE store.stripe_payments (
    payment_key        text PRIMARY KEY,  -- of the grant
    account_id         uuid REFERENCES store.accounts,  -- null until something was done about it
    kind               text NOT NULL,
    source_id          text NOT NULL,
    payment_intent_id  text,
    state              text NOT NULL,
    currency           text NOT NULL,
    paid_minor         bigint NOT NULL,
    looked_at          timestamptz NOT NULL,  -- just before it was read; what was read earlier may not be applied any more
    first_seen_at      timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX stripe_payments_by_intent ON store.stripe_payments (payment_intent_id);

-- One money object has one effect of each kind in the whole ledger (INV-14).
CREATE TABLE store.stripe_effects (
    key            text PRIMARY KEY,
    payment_key    text NOT NULL REFERENCES store.stripe_payments,
    account_id     uuid NOT NULL REFERENCES store.accounts,
    did            text NOT NULL,
    amount_micros  bigint NOT NULL CHECK (amount_micros >= 0),
    note           text NOT NULL DEFAULT '',
    event_id       text NOT NULL,  -- the one that brought it about
    applied_at     timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX stripe_effects_of_payment ON store.stripe_effects (payment_key);

CREATE TABLE store.stripe_subscriptions (
    subscription_id       text PRIMARY KEY,
    account_id            uuid NOT NULL REFERENCES store.accounts,
    customer_id           text NOT NULL,
    plan                  text NOT NULL,
    status                text NOT NULL,
    cancel_at_period_end  boolean NOT NULL,
    currency              text,
    period_starts_at      timestamptz,
    period_ends_at        timestamptz,
    created_at            timestamptz NOT NULL,  -- there
    looked_at             timestamptz NOT NULL
);
CREATE INDEX stripe_subscriptions_of_account ON store.stripe_subscriptions (account_id, created_at);

-- Where the comparison with Stripe's books has come to.
CREATE TABLE store.stripe_cursors (
    name  text PRIMARY KEY,
    at    timestamptz NOT NULL
);

-- What did not agree with Stripe's books; gone once it does.
CREATE TABLE store.stripe_differences (
    source_id   text NOT NULL,
    difference  text NOT NULL CHECK (difference IN ('missing_here', 'missing_there', 'amount', 'currency', 'duplicate')),
    message     text NOT NULL,
    found_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (source_id, difference)
);

-- Automatic top-ups: by whom, of how much, and each one that was tried.
CREATE TABLE store.top_up_rules (
    account_id         uuid PRIMARY KEY REFERENCES store.accounts,
    enabled            boolean NOT NULL DEFAULT false,
    amount_micros      bigint NOT NULL DEFAULT 10000000 CHECK (amount_micros BETWEEN 1 AND 1000000000000000),
    daily_max          integer NOT NULL DEFAULT 1 CHECK (daily_max BETWEEN 1 AND 100),  -- top-ups in 24 hours
    payment_method_id  text,  -- null: none is saved
    stopped_because    text,  -- set: nothing is charged until somebody enables it again
    changed_at         timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE store.top_ups (
    top_up_id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    account_id         uuid NOT NULL REFERENCES store.accounts,
    alert_id           uuid NOT NULL UNIQUE,  -- the crossing that it answers
    amount_micros      bigint NOT NULL,
    payment_intent_id  text,
    state              text NOT NULL DEFAULT 'charging' CHECK (state IN ('charging', 'paid', 'failed')),
    created_at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at           timestamptz
);
CREATE UNIQUE INDEX top_ups_one_at_a_time ON store.top_ups (account_id) WHERE state = 'charging';
CREATE INDEX top_ups_of_account ON store.top_ups (account_id, created_at);
