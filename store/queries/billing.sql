-- name: receive
INSERT INTO store.stripe_events (event_id, type, created_at, livemode, stripe_account, object_type, object_id)
VALUES (%(event_id)s, %(type)s, to_timestamp(%(created)s), %(livemode)s, %(account)s, %(object_type)s, %(object_id)s)
ON CONFLICT DO NOTHING;

-- name: event
SELECT event_id, type, extract(epoch FROM created_at)::bigint AS created, livemode, stripe_account AS account,
       object_type, object_id, state, reason, message, tries, received_at, tried_at
  FROM store.stripe_events WHERE event_id = %(event_id)s;

-- name: events
SELECT event_id, type, extract(epoch FROM created_at)::bigint AS created, livemode, stripe_account AS account,
       object_type, object_id, state, reason, message, tries, received_at, tried_at
  FROM store.stripe_events WHERE %(state)s::text IS NULL OR state = %(state)s::text
 ORDER BY received_at DESC, event_id DESC LIMIT %(limit)s OFFSET %(offset)s;

-- name: count_events
SELECT count(*) FROM store.stripe_events WHERE %(state)s::text IS NULL OR state = %(state)s::text;

-- name: unstarted
-- Received, and not looked at by anybody for a while.
SELECT event_id FROM store.stripe_events
 WHERE state = 'received' AND received_at < clock_timestamp() - %(older_than)s::interval
 ORDER BY received_at, event_id LIMIT %(limit)s;

-- name: end_event
UPDATE store.stripe_events
   SET state = %(state)s, reason = %(reason)s, message = %(message)s, tries = tries + 1, tried_at = clock_timestamp()
 WHERE event_id = %(event_id)s AND state IN ('received', 'parked');

-- name: now
SELECT clock_timestamp();

-- name: customer_of
SELECT customer_id FROM store.stripe_customers WHERE account_id = %(account_id)s::uuid AND gone_at IS NULL;

-- name: account_of
SELECT account_id::text FROM store.stripe_customers WHERE customer_id = %(customer_id)s;

-- name: link_customer
INSERT INTO store.stripe_customers (customer_id, account_id) VALUES (%(customer_id)s, %(account_id)s::uuid)
ON CONFLICT DO NOTHING;

-- name: customer_gone
UPDATE store.stripe_customers SET gone_at = clock_timestamp() WHERE customer_id = %(customer_id)s AND gone_at IS NULL;

-- name: lock_payment
-- Locked until the end of the transaction, whether it is new or known. Nothing: somebody applied a later look at it.
INSERT INTO store.stripe_payments AS known
       (payment_key, kind, source_id, payment_intent_id, state, currency, paid_minor, looked_at)
VALUES (%(payment_key)s, %(kind)s, %(source_id)s, %(payment_intent_id)s, %(state)s, %(currency)s, %(paid_minor)s,
        %(looked_at)s)
ON CONFLICT (payment_key) DO UPDATE
   SET state = EXCLUDED.state, paid_minor = EXCLUDED.paid_minor, payment_intent_id = EXCLUDED.payment_intent_id,
       looked_at = EXCLUDED.looked_at
 WHERE known.looked_at <= EXCLUDED.looked_at
RETURNING account_id::text;

-- name: payment_is_of
UPDATE store.stripe_payments SET account_id = %(account_id)s::uuid
 WHERE payment_key = %(payment_key)s AND account_id IS NULL;

-- name: effects
SELECT key, did, amount_micros FROM store.stripe_effects WHERE payment_key = %(payment_key)s ORDER BY applied_at, key;

-- name: record_effect
INSERT INTO store.stripe_effects (key, payment_key, account_id, did, amount_micros, note, event_id)
VALUES (%(key)s, %(payment_key)s, %(account_id)s::uuid, %(did)s, %(amount)s, %(note)s, %(event_id)s);

-- name: record_conversion
INSERT INTO store.stripe_conversions
    (key, currency, decimals, unit_micros, paid_minor, value_minor, fixed_micros, offers)
VALUES (%(key)s, %(currency)s, %(decimals)s, %(unit_micros)s, %(paid_minor)s, %(value_minor)s, %(fixed_micros)s,
        %(offers)s);

-- name: keep_movement
-- Of a payment that is not booked here it is kept without one.
INSERT INTO store.stripe_movements AS known
       (movement_id, kind, source_type, source_id, payment_key, currency, amount_minor, fee_minor, created_at)
VALUES (%(movement_id)s, %(kind)s, %(source_type)s, %(source_id)s,
        (SELECT payment_key FROM store.stripe_payments WHERE payment_key = %(payment_key)s::text), %(currency)s,
        %(amount)s, %(fee)s, to_timestamp(%(created)s))
ON CONFLICT (movement_id) DO UPDATE SET payment_key = EXCLUDED.payment_key
 WHERE known.payment_key IS NULL AND EXCLUDED.payment_key IS NOT NULL;

-- name: freeze
UPDATE store.accounts SET frozen_at = coalesce(frozen_at, clock_timestamp()) WHERE account_id = %(account_id)s::uuid;

-- name: keep_subscription
INSERT INTO store.stripe_subscriptions AS known
       (subscription_id, account_id, customer_id, plan, status, cancel_at_period_end, currency, period_starts_at,
        period_ends_at, created_at, looked_at)
VALUES (%(subscription_id)s, %(account_id)s::uuid, %(customer_id)s, %(plan)s, %(status)s, %(cancel_at_period_end)s,
        %(currency)s, %(period_starts_at)s, %(period_ends_at)s, %(created_at)s, %(looked_at)s)
ON CONFLICT (subscription_id) DO UPDATE
   SET plan = EXCLUDED.plan, status = EXCLUDED.status, cancel_at_period_end = EXCLUDED.cancel_at_period_end,
       currency = EXCLUDED.currency, period_starts_at = EXCLUDED.period_starts_at,
       period_ends_at = EXCLUDED.period_ends_at, looked_at = EXCLUDED.looked_at
 WHERE known.looked_at <= EXCLUDED.looked_at;

-- name: entitle
-- The plan of the newest subscription that entitles to one. Where none is left, the plan of this one ends; a plan that an
-- operator gave stays.
UPDATE store.accounts
   SET plan = coalesce(
           (SELECT plan FROM store.stripe_subscriptions
             WHERE account_id = %(account_id)s::uuid AND status IN ('active', 'trialing', 'past_due')
             ORDER BY created_at DESC, subscription_id LIMIT 1),
           CASE WHEN plan = ANY (SELECT plan FROM store.stripe_subscriptions WHERE account_id = %(account_id)s::uuid)
                THEN %(fallback)s ELSE plan END)
 WHERE account_id = %(account_id)s::uuid AND closed_at IS NULL;

-- name: subscription_of
-- The one that counts: that which entitles, else the last one.
SELECT subscription_id, plan, status, cancel_at_period_end, currency, period_starts_at, period_ends_at, created_at,
       looked_at AS updated_at
  FROM store.stripe_subscriptions WHERE account_id = %(account_id)s::uuid
 ORDER BY status IN ('active', 'trialing', 'past_due') DESC, created_at DESC, subscription_id LIMIT 1;

-- name: cursor
SELECT at FROM store.stripe_cursors WHERE name = %(name)s;

-- name: move_cursor
INSERT INTO store.stripe_cursors (name, at) VALUES (%(name)s, %(at)s)
ON CONFLICT (name) DO UPDATE SET at = greatest(store.stripe_cursors.at, EXCLUDED.at);

-- name: booked
SELECT payment_key, currency, paid_minor FROM store.stripe_payments WHERE payment_key = %(payment_key)s;

-- name: differ
INSERT INTO store.stripe_differences (source_id, difference, message)
VALUES (%(source_id)s, %(difference)s, %(message)s)
ON CONFLICT (source_id, difference) DO UPDATE SET message = EXCLUDED.message;

-- name: agree
DELETE FROM store.stripe_differences WHERE source_id = %(source_id)s;

-- name: differences
SELECT source_id, difference, message, found_at FROM store.stripe_differences ORDER BY found_at, source_id LIMIT 1000;

-- name: granted_since
-- Payments with a grant, first seen since an instant, to be compared with what Stripe lists.
SELECT payment_key, payment_intent_id
  FROM store.stripe_payments
 WHERE first_seen_at >= %(since)s AND payment_intent_id IS NOT NULL AND paid_minor > 0
   AND EXISTS (SELECT FROM store.stripe_effects AS done WHERE done.key = stripe_payments.payment_key);
