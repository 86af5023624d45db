-- name: page
SELECT delivery.delivery_id::text, delivery.endpoint_id::text, delivery.account_id::text,
       delivery.generation_id::text, delivery.event, delivery.purpose, delivery.state, delivery.replay_of::text,
       delivery.body, delivery.created_at, delivery.ended_at,
       (SELECT coalesce(jsonb_agg(to_jsonb(attempt) - 'delivery_id' ORDER BY number), '[]')
          FROM store.webhook_attempts AS attempt WHERE attempt.delivery_id = delivery.delivery_id) AS attempts
  FROM store.webhook_deliveries AS delivery
 WHERE account_id = %(account_id)s::uuid AND endpoint_id = %(endpoint_id)s::uuid
   AND (%(state)s::text IS NULL OR state = %(state)s::text)
 ORDER BY created_at DESC, delivery_id DESC
 LIMIT %(limit)s::bigint OFFSET %(offset)s::bigint;

-- name: count
SELECT count(*) FROM store.webhook_deliveries
 WHERE account_id = %(account_id)s::uuid AND endpoint_id = %(endpoint_id)s::uuid
   AND (%(state)s::text IS NULL OR state = %(state)s::text);

-- name: one
SELECT delivery.delivery_id::text, delivery.endpoint_id::text, delivery.account_id::text,
       delivery.generation_id::text, delivery.event, delivery.purpose, delivery.state, delivery.replay_of::text,
       delivery.body, delivery.created_at, delivery.ended_at,
       (SELECT coalesce(jsonb_agg(to_jsonb(attempt) - 'delivery_id' ORDER BY number), '[]')
          FROM store.webhook_attempts AS attempt WHERE attempt.delivery_id = delivery.delivery_id) AS attempts
  FROM store.webhook_deliveries AS delivery
 WHERE account_id = %(account_id)s::uuid AND endpoint_id = %(endpoint_id)s::uuid
   AND delivery_id = %(delivery_id)s::uuid;
