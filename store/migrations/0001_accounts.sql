-- Accounts and the API keys that act for them.

CREATE SCHEMA store;

CREATE TABLE store.accounts (
    account_id   uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name         text NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 100),
    email        text CHECK (length(email) BETWEEN 3 AND 320),
    plan         text NOT NULL DEFAULT 'free' CHECK (plan <> ''),
    is_personal  boolean NOT NULL DEFAULT true,
    frozen_at    timestamptz,  -- set: new holds are refused, open ones may end
    created_at   timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE store.api_keys (
    api_key_id    uuid PRIMARY KEY,
    account_id    uuid NOT NULL REFERENCES store.accounts,
    name          text NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    prefix        text NOT NULL CHECK (length(prefix) = 9),  -- for display only
    key_hash      bytea NOT NULL UNIQUE CHECK (octet_length(key_hash) = 32),  -- HMAC-SHA-256; the key itself is nowhere
    scopes        text[] NOT NULL CHECK (cardinality(scopes) > 0),
    region        text NOT NULL,
    ip_allowlist  text[] NOT NULL DEFAULT '{}' CHECK (cardinality(ip_allowlist) <= 50),
    created_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at    timestamptz,
    revoked_at    timestamptz,
    last_used_at  timestamptz
) WITH (fillfactor = 80);  -- room beside a row for the next last_used_at

CREATE INDEX api_keys_of_account ON store.api_keys (account_id, created_at);
