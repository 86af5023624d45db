-- name: claw_back
SELECT word, differs
  FROM ledger.claw_back(%(account_id)s::uuid, %(amount)s::bigint, %(payment_key)s::text, %(key)s::text);

-- name: restore_clawback
SELECT word, differs FROM ledger.restore_clawback(%(account_id)s::uuid, %(clawback_key)s::text, %(key)s::text);

-- name: dispute_hold
SELECT word, differs
  FROM ledger.dispute_hold(%(account_id)s::uuid, %(amount)s::bigint, %(dispute)s::text, %(payment_key)s::text,
                           %(key)s::text);

-- name: dispute_end
SELECT word, differs
  FROM ledger.dispute_end(%(account_id)s::uuid, %(dispute)s::text, %(outcome)s::text, %(key)s::text);

-- name: adjust
SELECT word, differs
  FROM ledger.adjust(%(account_id)s::uuid, %(amount)s::bigint, %(actor_one)s::text, %(actor_two)s::text,
                     %(reason)s::text, %(key)s::text);
