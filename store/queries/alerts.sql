-- name: get
SELECT account.alerts_enabled,
       coalesce(array_agg(threshold_micros ORDER BY threshold_micros DESC) FILTER (WHERE threshold_micros IS NOT NULL),
                '{}'),
       coalesce(array_agg(alerts_enabled AND arms_at_micros IS NULL ORDER BY threshold_micros DESC)
                FILTER (WHERE threshold_micros IS NOT NULL), '{}')
  FROM store.accounts AS account LEFT JOIN store.alert_thresholds USING (account_id)
 WHERE account.account_id = %(account_id)s::uuid
 GROUP BY account.account_id;

-- name: set
SELECT store.set_alerts(%(account_id)s::uuid, %(enabled)s::boolean, %(thresholds)s::bigint[]);

-- name: latest
SELECT alert_id::text, balance_micros, thresholds_micros, created_at
  FROM store.low_balance_alerts WHERE account_id = %(account_id)s::uuid
 ORDER BY created_at DESC, alert_id DESC LIMIT %(limit)s::bigint;
