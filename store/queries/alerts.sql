-- name: get
SELECT account.alerts_enabled,
       coalesce(array_agg(threshold_micros ORDER BY threshold_micros DESC) FILTER (WHERE threshold_micros IS NOT NULL),
                '{}'),
       coalesce(array_agg(alerts_enabled AND watched.arms_at_micros IS NULL ORDER BY threshold_micros DESC)
                FILTER (WHERE threshold_micros IS NOT NULL), '{}'),
       runway.hours, alerts_enabled AND runway.arms_at_micros IS NULL, runway.told_at
  FROM store.accounts AS account
  LEFT JOIN store.alert_thresholds AS watched USING (account_id)
  LEFT JOIN store.runway_rules AS runway USING (account_id)
 WHERE account.account_id = %(account_id)s::uuid
 GROUP BY account.account_id, runway.account_id;

-- name: set
SELECT store.set_alerts(%(account_id)s::uuid, %(enabled)s::boolean, %(thresholds)s::bigint[]);

-- name: latest
SELECT alert_id::text, balance_micros, thresholds_micros, created_at
  FROM store.low_balance_alerts WHERE account_id = %(account_id)s::uuid
 ORDER BY created_at DESC, alert_id DESC LIMIT %(limit)s::bigint;

-- name: set_runway
SELECT store.set_runway(%(account_id)s::uuid, %(enabled)s::boolean, %(hours)s::integer);

-- name: watched_runways
SELECT account_id::text FROM store.runway_rules
 WHERE account_id > %(after)s::uuid ORDER BY account_id LIMIT %(limit)s::bigint;

-- name: watch_runway
SELECT store.watch_runway(%(account_id)s::uuid, coalesce(%(at)s::timestamptz, clock_timestamp()))::text[];
