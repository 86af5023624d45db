-- name: all
SELECT provider, paused_at, paused_by, reason FROM store.paused_providers;

-- name: pause
INSERT INTO store.paused_providers (provider, paused_by, reason) VALUES (%(provider)s, %(paused_by)s, %(reason)s)
ON CONFLICT DO NOTHING;

-- name: resume
DELETE FROM store.paused_providers WHERE provider = %(provider)s;
