-- name: insert_endpoint
INSERT INTO store.webhook_endpoints (endpoint_id, account_id, url, secret_sealed, events)
VALUES (%(endpoint_id)s::uuid, %(account_id)s::uuid, %(url)s, %(secret_sealed)s, %(events)s)
RETURNING endpoint_id::text, account_id::text, url, secret_sealed, events, enabled, consecutive_failures, disabled_at,
          created_at;

-- name: endpoint
SELECT endpoint_id::text, account_id::text, url, secret_sealed, events, enabled, consecutive_failures, disabled_at,
       created_at
  FROM store.webhook_endpoints WHERE account_id = %(account_id)s::uuid AND endpoint_id = %(endpoint_id)s::uuid;

-- name: endpoints
SELECT endpoint_id::text, account_id::text, url, secret_sealed, events, enabled, consecutive_failures, disabled_at,
       created_at
  FROM store.webhook_endpoints WHERE account_id = %(account_id)s::uuid ORDER BY created_at, endpoint_id;

-- name: set_enabled
UPDATE store.webhook_endpoints SET enabled = %(enabled)s, consecutive_failures = 0, disabled_at = NULL
 WHERE account_id = %(account_id)s::uuid AND endpoint_id = %(endpoint_id)s::uuid;

-- name: delivery
SELECT delivery.delivery_id::text, delivery.endpoint_id::text, delivery.account_id::text, endpoint.url,
       endpoint.secret_sealed, delivery.event, delivery.body, delivery.created_at, delivery.state,
       endpoint.enabled AS endpoint_enabled,
       (SELECT count(*) FROM store.webhook_attempts AS made WHERE made.delivery_id = delivery.delivery_id) AS attempts_made
  FROM store.webhook_deliveries AS delivery JOIN store.webhook_endpoints AS endpoint USING (endpoint_id)
 WHERE delivery.delivery_id = %(delivery_id)s::uuid;

-- name: enqueue
INSERT INTO store.webhook_deliveries
    (delivery_id, endpoint_id, account_id, generation_id, event, body, replay_of, created_at)
VALUES (%(delivery_id)s::uuid, %(endpoint_id)s::uuid, %(account_id)s::uuid, %(generation_id)s::uuid, %(event)s,
        %(body)s, %(replay_of)s::uuid, %(at)s)
ON CONFLICT (delivery_id) DO NOTHING;

-- name: record_attempt
SELECT store.record_webhook_attempt(%(delivery_id)s::uuid, %(number)s::integer, %(status_code)s::integer,
                                    %(error)s::text, %(reply_head)s::text, %(final)s::boolean,
                                    %(failures_max)s::integer);

-- name: overdue
-- Queued a while ago and not ended, oldest first, after the cursor: one that is still tried hides none behind it.
SELECT delivery_id::text FROM store.webhook_deliveries AS overdue
 WHERE state = 'pending' AND created_at < clock_timestamp() - %(older_than)s::interval
   AND (%(after)s::uuid IS NULL
        OR (created_at, delivery_id)
           > (SELECT created_at, delivery_id FROM store.webhook_deliveries WHERE delivery_id = %(after)s::uuid))
 ORDER BY overdue.created_at, overdue.delivery_id
 LIMIT %(limit)s::bigint;

-- name: give_up
UPDATE store.webhook_deliveries SET state = 'failed', ended_at = clock_timestamp()
 WHERE delivery_id = %(delivery_id)s::uuid AND state = 'pending';
