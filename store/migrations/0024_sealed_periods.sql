-- Periods that are closed for good, and verifications that read only what is new.
--
-- Both need a border below which nothing changes any more. A transfer takes its id while its books are locked, so by then
-- its transaction has an id of its own; store/ledger_border.py waits until all transactions that may have taken an id up to
-- the border have ended. Nobody waits for it.

CREATE FUNCTION ledger.last_transfer() RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM ledger.transfer_ids
$$;

-- What each part of each kind of an account stands at, as `ledger.entries` counts: number is that of its last entry.
CREATE VIEW ledger.balances AS
SELECT account_id, kind, shard, number, balance_micros
  FROM ledger.books CROSS JOIN LATERAL (VALUES
           ('available'::ledger.account_kind, available_entries, available_micros),
           ('held', held_entries, held_micros),
           ('revenue', revenue_entries, revenue_micros),
           ('debt', debt_entries, debt_micros),
           ('disputed', disputed_entries, disputed_micros),
           ('clearing', clearing_entries, clearing_micros),
           ('payment', payment_entries, payment_micros),
           ('promotion', promotion_entries, promotion_micros),
           ('adjustment', adjustment_entries, adjustment_micros)
       ) AS of_kind (kind, number, balance_micros);

-- For whoever looks at the rarer operations of one account, or of one hold. The frequent ones leave it alone.
CREATE INDEX transfers_rarer ON ledger.transfers (account_id, work_id) WHERE operation >= 'grant';
DROP INDEX ledger.transfers_after_a_hold;
CREATE INDEX grants_of_account ON ledger.grants (account_id);
CREATE INDEX grants_in_time ON ledger.grants (created_at);
CREATE INDEX keyed_operations_of_account ON ledger.keyed_operations (account_id);
CREATE INDEX keyed_operations_in_time ON ledger.keyed_operations (created_at);
CREATE INDEX generations_ended ON store.generations (completed_at) WHERE completed_at IS NOT NULL;


-- 1. Seals. Each goes on where the one before it ended, in time and in the entries of every account.

CREATE TABLE ledger.seals (
    seal_number     bigint PRIMARY KEY,
    period_start    timestamptz NOT NULL UNIQUE,
    period_end      timestamptz NOT NULL UNIQUE CHECK (period_end > period_start),  -- not in the period
    sealed_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    up_to_transfer  bigint NOT NULL,  -- the last one of the period, or of those before
    transfers       bigint NOT NULL,
    moved_micros    numeric NOT NULL,  -- their sum
    balances        jsonb NOT NULL,  -- of all accounts together at the end: micro-credits by kind
    previous_hash   text NOT NULL UNIQUE,  -- so that no seal has two successors
    hash            text NOT NULL CHECK (hash ~ '^[0-9a-f]{64}$')
);

-- Where a ledger account stood at the end of a period, if it moved in it: else where the seal before left it.
CREATE TABLE ledger.sealed_balances (
    seal_number     bigint NOT NULL REFERENCES ledger.seals DEFERRABLE INITIALLY DEFERRED,
    account_id      uuid NOT NULL,
    kind            ledger.account_kind NOT NULL,
    shard           smallint NOT NULL,
    number          bigint NOT NULL,  -- of its last entry
    balance_micros  bigint NOT NULL,
    transfer_id     bigint NOT NULL,  -- that entry's
    PRIMARY KEY (seal_number, account_id, kind, shard)
);
CREATE INDEX sealed_balances_of_account ON ledger.sealed_balances (account_id, transfer_id);

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON ledger.seals
    FOR EACH ROW EXECUTE FUNCTION ledger.refuse('seals are append-only');
CREATE TRIGGER append_only_whole BEFORE TRUNCATE ON ledger.seals
    EXECUTE FUNCTION ledger.refuse('seals are append-only');
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON ledger.sealed_balances
    FOR EACH ROW EXECUTE FUNCTION ledger.refuse('seals are append-only');
CREATE TRIGGER append_only_whole BEFORE TRUNCATE ON ledger.sealed_balances
    EXECUTE FUNCTION ledger.refuse('seals are append-only');
ALTER TABLE ledger.seals ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE ledger.seals ENABLE ALWAYS TRIGGER append_only_whole;
ALTER TABLE ledger.sealed_balances ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE ledger.sealed_balances ENABLE ALWAYS TRIGGER append_only_whole;

-- The first half of a seal: the last entries before the end of the period. Of each account that is what is before its last
-- transfer with a time before that end, as in a statement, so that a clock which was set back parts no two entries.
CREATE FUNCTION ledger.seal_balances(p_seal_number bigint, p_period_end timestamptz, p_border bigint) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO ledger.sealed_balances (seal_number, account_id, kind, shard, number, balance_micros, transfer_id)
    SELECT p_seal_number, account_id, kind, shard, number, balance_micros, transfer_id
      FROM (SELECT account_id FROM ledger.books WHERE shard = 0
             UNION SELECT account_id FROM store.accounts) AS account
     CROSS JOIN LATERAL (
           SELECT coalesce(max(sealed.transfer_id), 0) AS start
             FROM ledger.sealed_balances AS sealed WHERE sealed.account_id = account.account_id) AS before
     CROSS JOIN LATERAL (
           SELECT transfer.transfer_id AS cut FROM ledger.transfers AS transfer
            WHERE transfer.account_id = account.account_id
              AND transfer.transfer_id > before.start AND transfer.transfer_id <= p_border
              AND transfer.created_at < p_period_end
            ORDER BY transfer.transfer_id DESC LIMIT 1) AS last_one
     CROSS JOIN LATERAL (
           SELECT DISTINCT ON (kind, shard) kind, shard, number, balance_micros, transfer_id
             FROM ledger.entries AS entry
            WHERE entry.account_id = account.account_id
              AND entry.transfer_id > before.start AND entry.transfer_id <= last_one.cut
            ORDER BY kind, shard, number DESC) AS last_entry
$$;

-- The second half. What does not go on from the seal before is refused, and so is a period that may still receive
-- transfers: five minutes after its end none can come that says otherwise, as long as no clock is set back by more.
CREATE FUNCTION ledger.write_seal(
    p_seal_number bigint, p_period_start timestamptz, p_period_end timestamptz, p_up_to_transfer bigint,
    p_transfers bigint, p_moved_micros numeric, p_balances jsonb, p_previous_hash text, p_hash text
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    last_one ledger.seals;
BEGIN
    SELECT * INTO last_one FROM ledger.seals ORDER BY seal_number DESC LIMIT 1;
    IF p_seal_number <> coalesce(last_one.seal_number, 0) + 1
        OR p_period_start <> coalesce(last_one.period_end, p_period_start)
        OR p_previous_hash <> coalesce(last_one.hash, repeat('0', 64))
        OR clock_timestamp() < p_period_end + interval '5 minutes'
    THEN
        RAISE EXCEPTION 'a seal goes on from the one before it, over a period that has ended'
            USING ERRCODE = 'restrict_violation';
    END IF;
    INSERT INTO ledger.seals (seal_number, period_start, period_end, up_to_transfer, transfers, moved_micros, balances,
                              previous_hash, hash)
    VALUES (p_seal_number, p_period_start, p_period_end, p_up_to_transfer, p_transfers, p_moved_micros, p_balances,
            p_previous_hash, p_hash);
END $$;


-- 2. The checkpoint: where every ledger account stood after the last transfer that a clean verification has read, and
-- the holds that were then under way. At most one; none: the next verification reads everything.

CREATE TABLE ledger.checkpoints (
    is_the_one      boolean PRIMARY KEY DEFAULT true CHECK (is_the_one),
    up_to_transfer  bigint NOT NULL,
    taken_at        timestamptz NOT NULL,  -- what was written later may not have been read
    full_at         timestamptz NOT NULL  -- when everything was read last
);
CREATE TABLE ledger.checkpoint_balances (
    account_id      uuid NOT NULL,
    kind            ledger.account_kind NOT NULL,
    shard           smallint NOT NULL,
    number          bigint NOT NULL,
    balance_micros  bigint NOT NULL,
    PRIMARY KEY (account_id, kind, shard)
);
CREATE TABLE ledger.checkpoint_holds (
    account_id      uuid NOT NULL,
    work_id         uuid NOT NULL,
    try_number      integer NOT NULL,
    reserved_micros bigint NOT NULL,
    settled_micros  bigint NOT NULL,
    released_micros bigint NOT NULL,
    PRIMARY KEY (account_id, work_id, try_number)
);

-- Called in the snapshot that was verified: the books as they are there, less what came after the border.
CREATE FUNCTION ledger.keep_checkpoint(p_border bigint, p_taken_at timestamptz, p_is_full boolean) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO ledger.checkpoint_balances AS kept (account_id, kind, shard, number, balance_micros)
    SELECT account_id, kind, shard, coalesce(later.number, balance.number),
           coalesce(later.balance_micros, balance.balance_micros)
      FROM ledger.balances AS balance
      LEFT JOIN (
           SELECT DISTINCT ON (account_id, kind, shard) account_id, kind, shard, number - 1 AS number,
                  balance_micros - amount_micros AS balance_micros
             FROM (SELECT account_id AS of_account FROM ledger.books WHERE shard = 0) AS account
            CROSS JOIN LATERAL (
                  SELECT * FROM ledger.entries AS entry
                   WHERE entry.account_id = of_account AND entry.transfer_id > p_border OFFSET 0) AS after_border
            ORDER BY account_id, kind, shard, number) AS later USING (account_id, kind, shard)
     WHERE coalesce(later.number, balance.number) > 0
    ON CONFLICT (account_id, kind, shard) DO UPDATE
       SET number = excluded.number, balance_micros = excluded.balance_micros
     WHERE kept.number <> excluded.number;

    DELETE FROM ledger.checkpoint_holds;
    INSERT INTO ledger.checkpoint_holds
    WITH later AS (
        SELECT account_id, work_id, try_number,
               coalesce(sum(amount_micros) FILTER (WHERE operation = 'reserve'), 0) AS reserved,
               coalesce(sum(amount_micros) FILTER (WHERE operation = 'settle'), 0) AS settled,
               coalesce(sum(amount_micros) FILTER (WHERE operation IN ('release', 'expire')), 0) AS released
          FROM (SELECT account_id AS of_account FROM ledger.books WHERE shard = 0) AS account
         CROSS JOIN LATERAL (
               SELECT * FROM ledger.transfers AS transfer
                WHERE transfer.account_id = of_account AND transfer.transfer_id > p_border OFFSET 0) AS after_border
         WHERE work_id IS NOT NULL
         GROUP BY account_id, work_id, try_number
    ),
    looked_at AS (
        SELECT account_id, work_id, try_number FROM later
         UNION
        SELECT account_id, work_id, try_number FROM ledger.holds WHERE state = 'held' AND amount_micros > 0
    ),
    standing AS (
        SELECT account_id, work_id, try_number, amount_micros - coalesce(reserved, 0) AS reserved,
               CASE WHEN state = 'held' OR corrected_at IS NOT NULL THEN 0 ELSE settled_micros END
                   - coalesce(settled, 0) AS settled,
               CASE WHEN state = 'held' THEN 0 WHEN corrected_at IS NOT NULL THEN amount_micros ELSE released_micros END
                   - coalesce(released, 0) AS released
          FROM looked_at JOIN ledger.holds USING (account_id, work_id, try_number)
          LEFT JOIN later USING (account_id, work_id, try_number)
    )
    SELECT * FROM standing WHERE reserved > settled + released;

    INSERT INTO ledger.checkpoints AS kept (up_to_transfer, taken_at, full_at) VALUES (p_border, p_taken_at, p_taken_at)
    ON CONFLICT (is_the_one) DO UPDATE
       SET up_to_transfer = excluded.up_to_transfer, taken_at = excluded.taken_at,
           full_at = CASE WHEN p_is_full THEN excluded.full_at ELSE kept.full_at END;
END $$;

-- After a violation: what follows reads everything, until it is clean again.
CREATE FUNCTION ledger.drop_checkpoint() RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    DELETE FROM ledger.checkpoints;
    DELETE FROM ledger.checkpoint_balances;
    DELETE FROM ledger.checkpoint_holds;
$$;


-- 3. What the scheduled runs found, and of which kind each was.

ALTER TABLE ledger.verifications
    ADD COLUMN is_full boolean NOT NULL DEFAULT true,
    ADD COLUMN up_to_transfer bigint NOT NULL DEFAULT 0;

-- One row, and as many as are to be kept.
CREATE FUNCTION ledger.keep_verification(
    p_is_full boolean, p_up_to_transfer bigint, p_seconds double precision, p_entries bigint, p_holds bigint,
    p_grants bigint, p_generations bigint, p_violations text[], p_kept bigint
) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO ledger.verifications
        (began_at, seconds, is_full, up_to_transfer, entries, holds, grants, generations, violations)
    VALUES (clock_timestamp() - make_interval(secs => p_seconds), p_seconds, p_is_full, p_up_to_transfer, p_entries,
            p_holds, p_grants, p_generations, p_violations);
    DELETE FROM ledger.verifications
     WHERE verification_id <= (SELECT max(verification_id) - p_kept FROM ledger.verifications);
$$;

REVOKE ALL ON FUNCTION ledger.last_transfer, ledger.seal_balances, ledger.write_seal, ledger.keep_checkpoint,
    ledger.drop_checkpoint, ledger.keep_verification FROM PUBLIC;
