-- name: insert
SELECT store.add_webhook_endpoint(%(endpoint_id)s::uuid, %(account_id)s::uuid, %(url)s::text, %(secret_sealed)s::bytea,
                                  %(events)s::text[], %(endpoints_max)s::integer);

-- name: get
SELECT endpoint_id::text, account_id::text, url, secret_sealed, events, enabled, consecutive_failures, disabled_at,
       (SELECT count(*) FROM store.webhook_deliveries AS waiting
         WHERE waiting.endpoint_id = endpoint.endpoint_id AND waiting.state = 'queued') AS queued,
       created_at, deleted_at
  FROM store.webhook_endpoints AS endpoint
 WHERE account_id = %(account_id)s::uuid AND endpoint_id = %(endpoint_id)s::uuid;

-- name: of_account
SELECT endpoint_id::text, account_id::text, url, secret_sealed, events, enabled, consecutive_failures, disabled_at,
       (SELECT count(*) FROM store.webhook_deliveries AS waiting
         WHERE waiting.endpoint_id = endpoint.endpoint_id AND waiting.state = 'queued') AS queued,
       created_at, deleted_at
  FROM store.webhook_endpoints AS endpoint
 WHERE account_id = %(account_id)s::uuid AND deleted_at IS NULL
 ORDER BY created_at, endpoint_id;

-- name: change
UPDATE store.webhook_endpoints
   SET url = coalesce(%(url)s::text, url),
       events = coalesce(%(events)s::text[], events),
       enabled = coalesce(%(enabled)s::boolean, enabled),
       consecutive_failures = CASE WHEN %(enabled)s::boolean IS NULL THEN consecutive_failures ELSE 0 END,
       disabled_at = CASE WHEN %(enabled)s::boolean IS NULL THEN disabled_at END
 WHERE account_id = %(account_id)s::uuid AND endpoint_id = %(endpoint_id)s::uuid AND deleted_at IS NULL;

-- name: replace_secret
UPDATE store.webhook_endpoints SET secret_sealed = %(secret_sealed)s
 WHERE account_id = %(account_id)s::uuid AND endpoint_id = %(endpoint_id)s::uuid AND deleted_at IS NULL;

-- name: delete
WITH deleted AS (
    UPDATE store.webhook_endpoints SET deleted_at = clock_timestamp(), enabled = false, secret_sealed = ''
     WHERE account_id = %(account_id)s::uuid AND endpoint_id = %(endpoint_id)s::uuid AND deleted_at IS NULL
    RETURNING endpoint_id
), expired AS (
    UPDATE store.webhook_deliveries AS waiting SET state = 'expired', ended_at = clock_timestamp()
      FROM deleted WHERE waiting.endpoint_id = deleted.endpoint_id AND waiting.state = 'queued'
)
SELECT count(*) FROM deleted;
