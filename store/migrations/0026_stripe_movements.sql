-- Stripe's own books, row by row: what each charge, refund, dispute and fee moved there. What credits came of it is in the
-- ledger; this is the leg outside, so that income less Stripe's fees is a query.

CREATE TABLE store.stripe_movements (
    movement_id   text PRIMARY KEY,  -- the balance transaction
    kind          text NOT NULL,     -- charge, payment, refund, adjustment, stripe_fee, payout, ...
    source_type   text,              -- charge, refund or dispute
    source_id     text,
    payment_key   text REFERENCES store.stripe_payments,  -- of the grant; none when it is of no payment of ours
    currency      text NOT NULL,     -- of the balance there
    amount_minor  bigint NOT NULL,   -- whole minor units, negative when it left
    fee_minor     bigint NOT NULL,   -- taken from it
    created_at    timestamptz NOT NULL  -- there
);
CREATE INDEX stripe_movements_by_time ON store.stripe_movements (created_at);
CREATE INDEX stripe_movements_of_payment ON store.stripe_movements (payment_key) WHERE payment_key IS NOT NULL;

-- By day (UTC), currency and kind. What Stripe pays out to us is no income.
CREATE VIEW store.stripe_income AS
SELECT (created_at AT TIME ZONE 'UTC')::date AS day, currency, coalesce(source_type, kind) AS kind, count(*) AS movements,
       sum(amount_minor)::bigint AS amount_minor, sum(fee_minor)::bigint AS fee_minor,
       sum(amount_minor - fee_minor)::bigint AS net_minor
  FROM store.stripe_movements
 WHERE kind NOT LIKE 'payout%'
 GROUP BY 1, 2, 3;
