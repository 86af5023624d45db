-- name: delivery
SELECT delivery.delivery_id::text, delivery.endpoint_id::text, delivery.account_id::text, endpoint.url,
       endpoint.secret_sealed, delivery.event, delivery.body, delivery.created_at, delivery.state, delivery.purpose,
       endpoint.enabled AS endpoint_enabled,
       (SELECT count(*) FROM store.webhook_attempts AS made WHERE made.delivery_id = delivery.delivery_id) AS attempts_made
  FROM store.webhook_deliveries AS delivery JOIN store.webhook_endpoints AS endpoint USING (endpoint_id)
 WHERE delivery.delivery_id = %(delivery_id)s::uuid;

-- name: insert_test
INSERT INTO store.webhook_deliveries (delivery_id, endpoint_id, account_id, event, purpose, body, created_at)
VALUES (%(delivery_id)s::uuid, %(endpoint_id)s::uuid, %(account_id)s::uuid, %(event)s, 'test', %(body)s, %(at)s)
ON CONFLICT (delivery_id) DO NOTHING;

-- name: replay
SELECT store.send_webhook_again(%(delivery_id)s::uuid, 'replay')::text;

-- name: take_queued
SELECT store.take_queued_webhook(%(endpoint_id)s::uuid)::text;

-- name: record_attempt
SELECT store.record_webhook_attempt(%(delivery_id)s::uuid, %(number)s::integer, %(status_code)s::integer,
                                    %(error)s::text, %(reply_head)s::text, %(final)s::boolean,
                                    %(failures_max)s::integer);

-- name: set_aside
-- What a drain sends leads back to a queued row, and nobody waits for a late test: only events go into the queue.
UPDATE store.webhook_deliveries AS delivery
   SET state = CASE WHEN waits THEN 'queued' ELSE 'failed' END,
       ended_at = CASE WHEN NOT waits THEN clock_timestamp() END
  FROM (SELECT one.delivery_id, one.purpose = 'event' AND endpoint.deleted_at IS NULL AS waits
          FROM store.webhook_deliveries AS one JOIN store.webhook_endpoints AS endpoint USING (endpoint_id)
         WHERE one.delivery_id = %(delivery_id)s::uuid AND NOT endpoint.enabled) AS stopped
 WHERE delivery.delivery_id = stopped.delivery_id AND delivery.state = 'pending'
RETURNING delivery.state;

-- name: overdue
-- To be sent since a while ago and not ended, oldest first, after the cursor: one that is still tried hides none behind
-- it.
SELECT delivery_id::text, endpoint_id::text, purpose FROM store.webhook_deliveries AS overdue
 WHERE state = 'pending' AND created_at < clock_timestamp() - %(older_than)s::interval
   AND (%(after)s::uuid IS NULL
        OR (created_at, delivery_id)
           > (SELECT created_at, delivery_id FROM store.webhook_deliveries WHERE delivery_id = %(after)s::uuid))
 ORDER BY overdue.created_at, overdue.delivery_id
 LIMIT %(limit)s::bigint;

-- name: give_up
UPDATE store.webhook_deliveries SET state = 'failed', ended_at = clock_timestamp()
 WHERE delivery_id = %(delivery_id)s::uuid AND state = 'pending';

-- name: expire_queued
-- One that a drain is sending at this moment is left to the drain.
UPDATE store.webhook_deliveries SET state = 'expired', ended_at = clock_timestamp()
 WHERE delivery_id IN (
     SELECT delivery_id FROM store.webhook_deliveries AS waiting
      WHERE state = 'queued' AND created_at < clock_timestamp() - %(older_than)s::interval
        AND NOT EXISTS (SELECT FROM store.webhook_deliveries AS sending
                         WHERE sending.replay_of = waiting.delivery_id
                           AND sending.purpose = 'drain' AND sending.state = 'pending')
      ORDER BY created_at
      LIMIT %(limit)s::bigint
        FOR NO KEY UPDATE SKIP LOCKED);
