-- name: keep
SELECT ledger.keep_verification(
    %(is_full)s, %(up_to_transfer)s, %(seconds)s, %(entries)s, %(holds)s, %(grants)s, %(generations)s, %(violations)s,
    %(kept)s);

-- name: latest
SELECT began_at, is_full, up_to_transfer, seconds, entries, holds, grants, generations, violations
  FROM ledger.verifications ORDER BY verification_id DESC LIMIT 1;
