-- name: hold
SELECT account_id::text, work_id::text, try_number, amount_micros, state::text, settled_micros, released_micros,
       shortfall_micros, price_version, opened_at, expires_at, ended_at, corrected_at, reason, refunded_micros, shard
  FROM ledger.holds
 WHERE account_id = %(account_id)s::uuid AND work_id = %(generation_id)s::uuid
 ORDER BY try_number;

-- name: decision
SELECT decision FROM store.decisions WHERE generation_id = %(generation_id)s::uuid;

-- name: transfers
-- With the spendable balance around each; null where a transfer did not touch it.
SELECT transfer_id, operation::text, debit::text, credit::text, amount_micros, created_at, cause,
       CASE WHEN debit = 'available' THEN debit_balance_micros + amount_micros
            WHEN credit = 'available' THEN credit_balance_micros - amount_micros END AS available_before_micros,
       CASE WHEN debit = 'available' THEN debit_balance_micros
            WHEN credit = 'available' THEN credit_balance_micros END AS available_after_micros
  FROM ledger.transfers
 WHERE account_id = %(account_id)s::uuid AND work_id = %(generation_id)s::uuid
   AND (once OR NOT once)  -- so say the two indexes that lead from a hold to its transfers
 ORDER BY transfer_id;

-- name: deliveries
SELECT delivery.delivery_id::text, delivery.endpoint_id::text, endpoint.url, delivery.event, delivery.state,
       delivery.created_at, delivery.ended_at, delivery.replay_of::text,
       (SELECT jsonb_agg(to_jsonb(attempt) - 'delivery_id' ORDER BY number)
          FROM store.webhook_attempts AS attempt WHERE attempt.delivery_id = delivery.delivery_id) AS attempts
  FROM store.webhook_deliveries AS delivery JOIN store.webhook_endpoints AS endpoint USING (endpoint_id)
 WHERE delivery.generation_id = %(generation_id)s::uuid
 ORDER BY delivery.created_at, delivery.delivery_id;
