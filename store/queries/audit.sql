-- name: note
INSERT INTO store.audit_log (actor, action, target_type, target_id, account_id, request_id, details)
VALUES (%(actor)s, %(action)s, %(target_type)s, %(target_id)s, %(account_id)s::uuid, %(request_id)s, %(details)s);

-- name: page
SELECT audit_id, at, actor, action, target_type, target_id, account_id::text, request_id, details
  FROM store.audit_log
 WHERE (%(account_id)s::uuid IS NULL OR account_id = %(account_id)s::uuid)
   AND (%(actor)s::text IS NULL OR actor = %(actor)s::text)
 ORDER BY audit_id DESC
 LIMIT %(limit)s OFFSET %(offset)s;

-- name: count
SELECT count(*) FROM store.audit_log
 WHERE (%(account_id)s::uuid IS NULL OR account_id = %(account_id)s::uuid)
   AND (%(actor)s::text IS NULL OR actor = %(actor)s::text);
