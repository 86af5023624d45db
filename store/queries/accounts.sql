-- name: create
INSERT INTO store.accounts (name, email, plan, is_personal)
VALUES (%(name)s, %(email)s, %(plan)s, %(is_personal)s)
RETURNING account_id::text, name, email, plan, created_at, frozen_at IS NOT NULL AS frozen, is_personal;

-- name: get
SELECT account_id::text, name, email, plan, created_at, frozen_at IS NOT NULL AS frozen, is_personal
  FROM store.accounts WHERE account_id = %(account_id)s::uuid;

-- name: by_name
SELECT account_id::text, name, email, plan, created_at, frozen_at IS NOT NULL AS frozen, is_personal
  FROM store.accounts WHERE name = %(name)s;

-- name: freeze
UPDATE store.accounts
   SET frozen_at = CASE WHEN %(frozen)s THEN coalesce(frozen_at, clock_timestamp()) END
 WHERE account_id = %(account_id)s::uuid
RETURNING account_id;
