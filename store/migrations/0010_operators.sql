-- Operators, what they did, and what they may do to accounts, keys and providers.

-- People and programs that manage this deployment. Their keys open /admin/v1 and nothing else.
CREATE TABLE store.operators (
    operator_id   uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name          text NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    prefix        text NOT NULL CHECK (length(prefix) = 9),  -- for display only
    key_hash      bytea NOT NULL UNIQUE CHECK (octet_length(key_hash) = 32),  -- HMAC-SHA-256; the key itself is nowhere
    created_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    revoked_at    timestamptz,
    last_used_at  timestamptz
);

-- A name means one operator at a time; after a revocation it may be given again, with a new key.
CREATE UNIQUE INDEX operators_name ON store.operators (name) WHERE revoked_at IS NULL;


-- One row per change that an operator made, written in the transaction of that change. There are no foreign keys: what
-- was done is remembered longer than what it was done to.
CREATE TABLE store.audit_log (
    audit_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at           timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor        text NOT NULL CHECK (actor <> ''),  -- the operator's name
    action       text NOT NULL CHECK (action ~ '^[a-z_]+\.[a-z_]+$'),  -- resource.verb, such as key.revoke
    target_type  text NOT NULL CHECK (target_type <> ''),
    target_id    text NOT NULL CHECK (target_id <> ''),
    account_id   uuid,
    request_id   text,  -- null: it was done on the database, from the command line
    details      jsonb NOT NULL CHECK (jsonb_typeof(details) = 'object')  -- what changed; never a secret
);

CREATE INDEX audit_log_of_account ON store.audit_log (account_id, audit_id) WHERE account_id IS NOT NULL;
CREATE INDEX audit_log_of_actor ON store.audit_log (actor, audit_id);

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON store.audit_log
    FOR EACH ROW EXECUTE FUNCTION ledger.refuse('the audit log is append-only');
CREATE TRIGGER append_only_whole BEFORE TRUNCATE ON store.audit_log
    EXECUTE FUNCTION ledger.refuse('the audit log is append-only');
ALTER TABLE store.audit_log ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE store.audit_log ENABLE ALWAYS TRIGGER append_only_whole;


ALTER TABLE store.accounts
    ADD COLUMN picture_url text CHECK (length(picture_url) BETWEEN 1 AND 2048),
    ADD COLUMN closed_at timestamptz,  -- set for good: its keys find no account, its open holds may end
    ADD CONSTRAINT closed_is_frozen CHECK (closed_at IS NULL OR frozen_at IS NOT NULL);

ALTER TABLE store.api_keys ADD COLUMN rotated_at timestamptz;  -- set: its successor exists, and it works until expires_at


-- Providers that no new generation is sent to. A row is a pause; no row, no pause.
CREATE TABLE store.paused_providers (
    provider   text PRIMARY KEY CHECK (provider <> ''),
    paused_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    paused_by  text NOT NULL,
    reason     text CHECK (length(reason) BETWEEN 1 AND 500)
);
