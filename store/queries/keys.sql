-- name: insert
INSERT INTO store.api_keys
    (api_key_id, account_id, name, prefix, key_hash, scopes, region, ip_allowlist, expires_at)
VALUES (%(api_key_id)s::uuid, %(account_id)s::uuid, %(name)s, %(prefix)s, %(key_hash)s, %(scopes)s, %(region)s,
        %(ip_allowlist)s, %(expires_at)s);

-- name: find
-- The key with its account: all that authentication asks for, in one look-up by the unique hash.
SELECT key.api_key_id::text, key.account_id::text, key.name, key.prefix, key.scopes, key.region,
       key.ip_allowlist, key.created_at, key.expires_at, key.revoked_at, key.rotated_at, key.last_used_at,
       account.plan AS account_plan, account.closed_at IS NOT NULL AS account_closed,
       account.moderation_failover AS account_moderation_failover
  FROM store.api_keys AS key JOIN store.accounts AS account USING (account_id)
 WHERE key.key_hash = %(key_hash)s;

-- name: get
SELECT key.api_key_id::text, key.account_id::text, key.name, key.prefix, key.scopes, key.region,
       key.ip_allowlist, key.created_at, key.expires_at, key.revoked_at, key.rotated_at, key.last_used_at,
       account.plan AS account_plan, account.closed_at IS NOT NULL AS account_closed,
       account.moderation_failover AS account_moderation_failover
  FROM store.api_keys AS key JOIN store.accounts AS account USING (account_id)
 WHERE key.api_key_id = %(api_key_id)s::uuid
   AND (%(account_id)s::uuid IS NULL OR key.account_id = %(account_id)s::uuid);

-- name: get_locked
-- As it is when whoever changes it has committed; unchanged until this transaction ends.
SELECT key.api_key_id::text, key.account_id::text, key.name, key.prefix, key.scopes, key.region,
       key.ip_allowlist, key.created_at, key.expires_at, key.revoked_at, key.rotated_at, key.last_used_at,
       account.plan AS account_plan, account.closed_at IS NOT NULL AS account_closed,
       account.moderation_failover AS account_moderation_failover
  FROM store.api_keys AS key JOIN store.accounts AS account USING (account_id)
 WHERE key.api_key_id = %(api_key_id)s::uuid
   AND (%(account_id)s::uuid IS NULL OR key.account_id = %(account_id)s::uuid)
   FOR NO KEY UPDATE OF key;

-- name: of_account
SELECT key.api_key_id::text, key.account_id::text, key.name, key.prefix, key.scopes, key.region,
       key.ip_allowlist, key.created_at, key.expires_at, key.revoked_at, key.rotated_at, key.last_used_at,
       account.plan AS account_plan, account.closed_at IS NOT NULL AS account_closed,
       account.moderation_failover AS account_moderation_failover
  FROM store.api_keys AS key JOIN store.accounts AS account USING (account_id)
 WHERE key.account_id = %(account_id)s::uuid
 ORDER BY key.created_at, key.api_key_id;

-- name: touch
UPDATE store.api_keys SET last_used_at = clock_timestamp()
 WHERE api_key_id = %(api_key_id)s::uuid
   AND (last_used_at IS NULL OR last_used_at < clock_timestamp() - interval '1 minute');

-- name: rotated
UPDATE store.api_keys
   SET rotated_at = %(rotated_at)s::timestamptz, expires_at = least(expires_at, %(ends_at)s::timestamptz)
 WHERE api_key_id = %(api_key_id)s::uuid;

-- name: inherit_line
-- A successor spends on the limits of the first key of its line.
UPDATE store.api_keys AS successor SET line_id = coalesce(old.line_id, old.api_key_id)
  FROM store.api_keys AS old
 WHERE successor.api_key_id = %(successor_id)s::uuid AND old.api_key_id = %(api_key_id)s::uuid;

-- name: revoke
UPDATE store.api_keys SET revoked_at = clock_timestamp()
 WHERE api_key_id = %(api_key_id)s::uuid AND revoked_at IS NULL
   AND (%(account_id)s::uuid IS NULL OR account_id = %(account_id)s::uuid);

-- name: delete
DELETE FROM store.api_keys
 WHERE api_key_id = %(api_key_id)s::uuid
   AND (%(account_id)s::uuid IS NULL OR account_id = %(account_id)s::uuid);
