-- name: rule
SELECT account_id::text, enabled, amount_micros, daily_max, payment_method_id, stopped_because
  FROM store.top_up_rules WHERE account_id = %(account_id)s::uuid;

-- name: set_rule
INSERT INTO store.top_up_rules (account_id, enabled, amount_micros, daily_max)
VALUES (%(account_id)s::uuid, %(enabled)s, %(amount)s, %(daily_max)s)
ON CONFLICT (account_id) DO UPDATE
   SET enabled = EXCLUDED.enabled, amount_micros = EXCLUDED.amount_micros, daily_max = EXCLUDED.daily_max,
       stopped_because = NULL, changed_at = clock_timestamp();

-- name: save_method
INSERT INTO store.top_up_rules (account_id, payment_method_id)
VALUES (%(account_id)s::uuid, %(payment_method_id)s)
ON CONFLICT (account_id) DO UPDATE
   SET payment_method_id = EXCLUDED.payment_method_id, changed_at = clock_timestamp();

-- name: stop
UPDATE store.top_up_rules SET enabled = false, stopped_because = %(why)s, changed_at = clock_timestamp()
 WHERE account_id = %(account_id)s::uuid AND enabled;

-- name: take
-- A top-up for each unanswered crossing of the last day whose account wants one, may have one more today, and has none
-- under way. The indexes keep two who do this at once from making two.
WITH due AS (
    SELECT DISTINCT ON (alert.account_id) alert.account_id, alert.alert_id, rule.amount_micros, rule.daily_max
      FROM store.low_balance_alerts AS alert
      JOIN store.top_up_rules AS rule USING (account_id)
      JOIN store.accounts AS account USING (account_id)
     WHERE alert.created_at > clock_timestamp() - interval '1 day'
       AND rule.enabled AND rule.payment_method_id IS NOT NULL AND account.closed_at IS NULL
       AND account.frozen_at IS NULL
       AND NOT EXISTS (SELECT FROM store.top_ups AS made WHERE made.alert_id = alert.alert_id)
     ORDER BY alert.account_id, alert.created_at DESC
)
INSERT INTO store.top_ups (account_id, alert_id, amount_micros)
SELECT account_id, alert_id, amount_micros FROM due
 WHERE daily_max > (SELECT count(*) FROM store.top_ups AS made
                     WHERE made.account_id = due.account_id AND made.created_at > clock_timestamp() - interval '1 day')
ON CONFLICT DO NOTHING;

-- name: charging
SELECT top_up_id::text, account_id::text, top_ups.amount_micros, customer_id, payment_method_id
  FROM store.top_ups
  JOIN store.top_up_rules USING (account_id)
  JOIN store.stripe_customers USING (account_id)
 WHERE state = 'charging' AND payment_intent_id IS NULL AND gone_at IS NULL AND payment_method_id IS NOT NULL
 ORDER BY top_ups.created_at LIMIT %(limit)s;

-- name: ended
UPDATE store.top_ups
   SET payment_intent_id = %(payment_intent_id)s, state = %(state)s,
       ended_at = CASE WHEN %(state)s <> 'charging' THEN clock_timestamp() END
 WHERE state = 'charging' AND (top_up_id::text = %(top_up_id)s OR payment_intent_id = %(payment_intent_id)s)
RETURNING account_id::text;
