-- name: create
INSERT INTO store.accounts (name, email, plan, is_personal, picture_url)
VALUES (%(name)s, %(email)s, %(plan)s, %(is_personal)s, %(picture_url)s)
RETURNING account_id::text, name, email, plan, created_at, frozen_at IS NOT NULL AS frozen, is_personal, picture_url,
          closed_at, moderation_failover;

-- name: get
SELECT account_id::text, name, email, plan, created_at, frozen_at IS NOT NULL AS frozen, is_personal, picture_url,
       closed_at, moderation_failover
  FROM store.accounts WHERE account_id = %(account_id)s::uuid;

-- name: by_name
SELECT account_id::text, name, email, plan, created_at, frozen_at IS NOT NULL AS frozen, is_personal, picture_url,
       closed_at, moderation_failover
  FROM store.accounts WHERE name = %(name)s;

-- name: locked
-- Against a change by somebody else, not against new keys or generations.
SELECT account_id::text, name, email, plan, created_at, frozen_at IS NOT NULL AS frozen, is_personal, picture_url,
       closed_at, moderation_failover
  FROM store.accounts WHERE account_id = %(account_id)s::uuid FOR NO KEY UPDATE;

-- name: page
SELECT account_id::text, name, email, plan, created_at, frozen_at IS NOT NULL AS frozen, is_personal, picture_url,
       closed_at, moderation_failover
  FROM store.accounts WHERE %(name)s::text IS NULL OR name = %(name)s::text
 ORDER BY created_at DESC, account_id DESC LIMIT %(limit)s OFFSET %(offset)s;

-- name: count
SELECT count(*) FROM store.accounts WHERE %(name)s::text IS NULL OR name = %(name)s::text;

-- name: update
UPDATE store.accounts
   SET name = %(name)s, email = %(email)s, plan = %(plan)s, picture_url = %(picture_url)s,
       moderation_failover = %(moderation_failover)s,
       frozen_at = CASE WHEN %(frozen)s THEN coalesce(frozen_at, clock_timestamp()) END
 WHERE account_id = %(account_id)s::uuid AND closed_at IS NULL
RETURNING account_id::text, name, email, plan, created_at, frozen_at IS NOT NULL AS frozen, is_personal, picture_url,
          closed_at, moderation_failover;

-- name: close
UPDATE store.accounts SET closed_at = clock_timestamp(), frozen_at = coalesce(frozen_at, clock_timestamp())
 WHERE account_id = %(account_id)s::uuid AND closed_at IS NULL;
