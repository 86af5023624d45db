-- name: last_transfer
SELECT ledger.last_transfer(), clock_timestamp();

-- name: transaction
SELECT pg_current_xact_id()::text;

-- name: has_passed
SELECT pg_snapshot_xmin(pg_current_snapshot()) > %(transaction)s::xid8;
