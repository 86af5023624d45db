-- name: keep
INSERT INTO ledger.verifications (began_at, seconds, entries, holds, grants, generations, violations)
VALUES (clock_timestamp() - make_interval(secs => %(seconds)s), %(seconds)s, %(entries)s, %(holds)s, %(grants)s,
        %(generations)s, %(violations)s);

-- name: forget
DELETE FROM ledger.verifications
 WHERE verification_id <= (SELECT max(verification_id) - %(kept)s FROM ledger.verifications);

-- name: latest
SELECT began_at, seconds, entries, holds, grants, generations, violations
  FROM ledger.verifications ORDER BY verification_id DESC LIMIT 1;
