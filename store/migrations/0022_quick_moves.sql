-- Reserve and settle as one statement each, and a busy account that does not wait for the disk.
--
-- The two frequent operations write their three rows (hold, book, transfer) in one statement with nothing fired in
-- between. Whatever is not the plain case takes the long way of 0018, by the triggers, which stays as it was: nothing to
-- hold, a frozen account, a balance that is short or falls below a threshold, a settlement in part, a repeat, a late
-- success. New holds are all in book 0; the sixteen others of an account go on for the holds and the history they have.

LOCK TABLE store.accounts, ledger.holds, ledger.transfers, ledger.books IN ACCESS EXCLUSIVE MODE;


-- 1. Stamps. Triggers guard the tables against whoever writes them by hand. A statement of the ledger's own stamps the
-- rows that it writes, and a trigger looks at what comes without a new stamp. The conditions are as short as can be,
-- because every statement reads and compiles them anew: a longer one costs as much as the function it spares.

ALTER TABLE ledger.books
    ADD COLUMN stamp  bigint NOT NULL DEFAULT 0,       -- how often one of these statements has moved it
    ADD COLUMN heat   smallint NOT NULL DEFAULT 0,     -- how many of its last movements came one upon the other
    ADD COLUMN frozen boolean NOT NULL DEFAULT false;  -- as in store.accounts, of book 0: read where it is locked anyway
ALTER TABLE ledger.holds
    ADD COLUMN stamp smallint NOT NULL DEFAULT 0;      -- how many steps of its life were such statements
ALTER TABLE ledger.transfers
    ADD COLUMN stamped boolean NOT NULL DEFAULT false; -- written with its numbers; else the trigger gave them

DROP TRIGGER apply_transfer ON ledger.transfers;
CREATE TRIGGER apply_transfer BEFORE INSERT ON ledger.transfers
    FOR EACH ROW WHEN (NOT NEW.stamped) EXECUTE FUNCTION ledger.apply_transfer();
ALTER TABLE ledger.transfers ENABLE ALWAYS TRIGGER apply_transfer;

DROP TRIGGER rules ON ledger.holds;
CREATE TRIGGER rules_of_opening AFTER INSERT ON ledger.holds
    FOR EACH ROW WHEN (NEW.stamp = 0) EXECUTE FUNCTION ledger.keep_the_rules_of_holds();
CREATE TRIGGER rules AFTER UPDATE ON ledger.holds
    FOR EACH ROW WHEN (NEW.stamp = OLD.stamp) EXECUTE FUNCTION ledger.keep_the_rules_of_holds();
ALTER TABLE ledger.holds ENABLE ALWAYS TRIGGER rules_of_opening;
ALTER TABLE ledger.holds ENABLE ALWAYS TRIGGER rules;

CREATE FUNCTION ledger.refuse_by_hand() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF pg_trigger_depth() = 1 THEN  -- a statement of its own; what a transfer's trigger does is deeper
        RAISE EXCEPTION '% of %.% is refused: %', TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME, TG_ARGV[0]
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END $$;

DROP TRIGGER moved_by_transfers ON ledger.books;
CREATE TRIGGER moved_by_transfers AFTER UPDATE ON ledger.books
    FOR EACH ROW WHEN (NEW.stamp = OLD.stamp)
    EXECUTE FUNCTION ledger.refuse_by_hand('a balance moves by a transfer only');
ALTER TABLE ledger.books ENABLE ALWAYS TRIGGER moved_by_transfers;

-- Thresholds are looked at where a balance moves the long way: one that a reservation would cross makes it go there.
DROP TRIGGER watch_balance ON ledger.books;
CREATE TRIGGER watch_balance AFTER UPDATE OF available_micros ON ledger.books
    FOR EACH ROW WHEN (NEW.stamp = OLD.stamp) EXECUTE FUNCTION store.watch_balance();


-- 2. An account has one book from now on, and that knows whether it is frozen.

CREATE OR REPLACE FUNCTION ledger.open_accounts() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO ledger.books (account_id, shard, frozen) VALUES (NEW.account_id, 0, NEW.frozen_at IS NOT NULL);
    RETURN NULL;
END $$;

CREATE FUNCTION ledger.mark_frozen() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE ledger.books SET frozen = NEW.frozen_at IS NOT NULL
     WHERE account_id = NEW.account_id AND shard = 0 AND frozen <> (NEW.frozen_at IS NOT NULL);
    RETURN NULL;
END $$;

CREATE TRIGGER mark_frozen AFTER UPDATE OF frozen_at ON store.accounts
    FOR EACH ROW EXECUTE FUNCTION ledger.mark_frozen();

ALTER TABLE ledger.books DISABLE TRIGGER moved_by_transfers;
UPDATE ledger.books SET frozen = true
  FROM store.accounts AS account
 WHERE account.account_id = books.account_id AND account.frozen_at IS NOT NULL AND shard = 0;
ALTER TABLE ledger.books ENABLE ALWAYS TRIGGER moved_by_transfers;


-- 3. The two operations: their plain case, then the long way.

-- An account is busy when each of its last four movements came within 64 transactions of the server after the one before,
-- which the row's own xmin tells. Such a movement does not wait for the disk, if its caller does so after it: see section 4.

-- Available to held: held | already_held | insufficient | conflict | closed | frozen | no_account.
CREATE OR REPLACE FUNCTION ledger.reserve(
    p_account_id uuid, p_work_id uuid, p_try_number integer, p_amount_micros bigint,
    p_price_version text, p_expires_at timestamptz, p_key text DEFAULT NULL
) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF p_amount_micros BETWEEN 1 AND 1000000000000000 AND p_try_number >= 1 THEN
        WITH hold AS (
            INSERT INTO ledger.holds (account_id, work_id, try_number, amount_micros, price_version, expires_at, stamp)
            VALUES (p_account_id, p_work_id, p_try_number, p_amount_micros, p_price_version, p_expires_at, 1)
            ON CONFLICT DO NOTHING
            RETURNING account_id
        ),
        book AS (
            UPDATE ledger.books
               SET available_micros = available_micros - p_amount_micros, available_entries = available_entries + 1,
                   held_micros = held_micros + p_amount_micros, held_entries = held_entries + 1, stamp = stamp + 1,
                   heat = CASE WHEN age(xmin) < 64 THEN least(heat + 1, 4) ELSE 0 END
             WHERE account_id = (SELECT account_id FROM hold) AND shard = 0 AND available_micros >= p_amount_micros
               AND (available_micros - p_amount_micros < alert_below_micros) IS NOT TRUE AND NOT frozen
            RETURNING available_micros, available_entries, held_micros, held_entries,
                      CASE WHEN heat = 4 AND current_setting('ledger.flushes_after', true) = 'on'
                           THEN set_config('synchronous_commit', 'off', true) END
        )
        INSERT INTO ledger.transfers
            (transfer_id, amount_micros, debit_number, debit_balance_micros, credit_number, credit_balance_micros,
             created_at, debit, credit, operation, try_number, account_id, work_id, key, stamped)
        SELECT nextval('ledger.transfer_ids'), p_amount_micros, available_entries, available_micros, held_entries,
               held_micros, clock_timestamp(), 'available', 'held', 'reserve', p_try_number, p_account_id, p_work_id,
               p_key, true
          FROM book;
        IF FOUND THEN
            RETURN 'held';
        END IF;
    END IF;
    RETURN ledger.reserve_the_long_way(
        p_account_id, p_work_id, p_try_number, p_amount_micros, p_price_version, p_expires_at, p_key);
END $$;

CREATE FUNCTION ledger.reserve_the_long_way(
    p_account_id uuid, p_work_id uuid, p_try_number integer, p_amount_micros bigint,
    p_price_version text, p_expires_at timestamptz, p_key text
) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    hold ledger.holds;
BEGIN
    DELETE FROM ledger.holds AS unmoved  -- the one that was just made, and that its book could not follow
     WHERE (account_id, work_id, try_number) = (p_account_id, p_work_id, p_try_number)
       AND state <= 'held' AND amount_micros > 0
       AND NOT EXISTS (
           SELECT FROM ledger.transfers AS moved
            WHERE (moved.account_id, moved.work_id, moved.try_number) = (p_account_id, p_work_id, p_try_number)
              AND moved.operation = 'reserve');
    INSERT INTO ledger.holds (account_id, work_id, try_number, amount_micros, price_version, expires_at)
    SELECT account_id, p_work_id, p_try_number, p_amount_micros, p_price_version, p_expires_at
      FROM store.accounts
     WHERE account_id = p_account_id AND frozen_at IS NULL
    ON CONFLICT DO NOTHING;
    IF FOUND THEN
        IF p_amount_micros = 0 THEN
            RETURN 'held';
        END IF;
        INSERT INTO ledger.transfers (account_id, debit, credit, amount_micros, operation, work_id, try_number, key)
        VALUES (p_account_id, 'available', 'held', p_amount_micros, 'reserve', p_work_id, p_try_number, p_key);
        IF FOUND THEN
            RETURN 'held';
        END IF;
        DELETE FROM ledger.holds
         WHERE (account_id, work_id, try_number) = (p_account_id, p_work_id, p_try_number);
        RETURN 'insufficient';
    END IF;
    PERFORM ledger.write_a_word();
    SELECT * INTO hold FROM ledger.holds
     WHERE (account_id, work_id, try_number) = (p_account_id, p_work_id, p_try_number);
    IF FOUND THEN
        RETURN CASE
            WHEN hold.state <> 'held' THEN 'closed'
            WHEN (hold.amount_micros, hold.price_version) = (p_amount_micros, p_price_version) THEN 'already_held'
            ELSE 'conflict'
        END;
    END IF;
    RETURN CASE WHEN EXISTS (SELECT FROM store.accounts WHERE account_id = p_account_id) THEN 'frozen'
                ELSE 'no_account' END;
END $$;

-- Held to revenue, the remainder back to available:
-- settled | already_settled | recollected | shortfall | no_hold | conflict.
--
-- A hold that its book does not follow leaves the transfer without numbers, and NOT NULL refuses it.
CREATE OR REPLACE FUNCTION ledger.settle(
    p_account_id uuid, p_work_id uuid, p_try_number integer, p_amount_micros bigint
) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    WITH hold AS (
        UPDATE ledger.holds
           SET state = 'settled', settled_micros = amount_micros, ended_at = clock_timestamp(), stamp = stamp + 1
         WHERE (account_id, work_id, try_number) = (p_account_id, p_work_id, p_try_number)
           AND state <= 'held' AND amount_micros = p_amount_micros AND amount_micros > 0
        RETURNING shard
    ),
    book AS (
        UPDATE ledger.books
           SET held_micros = held_micros - p_amount_micros, held_entries = held_entries + 1,
               revenue_micros = revenue_micros + p_amount_micros, revenue_entries = revenue_entries + 1,
               stamp = stamp + 1, heat = CASE WHEN age(xmin) < 64 THEN least(heat + 1, 4) ELSE 0 END
         WHERE account_id = p_account_id AND shard = (SELECT shard FROM hold) AND held_micros >= p_amount_micros
           AND revenue_micros <= 9000000000000000000 - p_amount_micros
        RETURNING held_micros, held_entries, revenue_micros, revenue_entries,
                  CASE WHEN heat = 4 AND current_setting('ledger.flushes_after', true) = 'on'
                       THEN set_config('synchronous_commit', 'off', true) END
    )
    INSERT INTO ledger.transfers
        (transfer_id, amount_micros, debit_number, debit_balance_micros, credit_number, credit_balance_micros, created_at,
         debit, credit, operation, try_number, account_id, work_id, shard, stamped)
    SELECT nextval('ledger.transfer_ids'), p_amount_micros, held_entries, held_micros, revenue_entries, revenue_micros,
           clock_timestamp(), 'held', 'revenue', 'settle', p_try_number, p_account_id, p_work_id, hold.shard, true
      FROM hold LEFT JOIN book ON true;
    IF FOUND THEN
        RETURN 'settled';
    END IF;
    RETURN ledger.settle_the_long_way(p_account_id, p_work_id, p_try_number, p_amount_micros);
END $$;

CREATE FUNCTION ledger.settle_the_long_way(
    p_account_id uuid, p_work_id uuid, p_try_number integer, p_amount_micros bigint
) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    remainder bigint;
    on_shard  smallint;
    hold      ledger.holds;
BEGIN
    UPDATE ledger.holds
       SET state = 'settled', settled_micros = p_amount_micros, released_micros = amount_micros - p_amount_micros,
           ended_at = clock_timestamp()
     WHERE (account_id, work_id, try_number) = (p_account_id, p_work_id, p_try_number)
       AND state <= 'held' AND amount_micros >= p_amount_micros
    RETURNING released_micros, shard INTO remainder, on_shard;
    IF FOUND THEN
        IF remainder > 0 THEN  -- first, because book 0 comes first in the order of locks
            INSERT INTO ledger.transfers
                (account_id, debit, credit, amount_micros, operation, work_id, try_number, shard)
            VALUES (p_account_id, 'held', 'available', remainder, 'release', p_work_id, p_try_number, on_shard);
        END IF;
        IF p_amount_micros > 0 THEN
            INSERT INTO ledger.transfers
                (account_id, debit, credit, amount_micros, operation, work_id, try_number, shard)
            VALUES (p_account_id, 'held', 'revenue', p_amount_micros, 'settle', p_work_id, p_try_number, on_shard);
        END IF;
        RETURN 'settled';
    END IF;
    SELECT * INTO hold FROM ledger.holds
     WHERE (account_id, work_id, try_number) = (p_account_id, p_work_id, p_try_number) FOR UPDATE;
    IF NOT FOUND THEN
        RETURN 'no_hold';
    END IF;
    PERFORM ledger.write_a_word();
    IF p_amount_micros > hold.amount_micros THEN
        RETURN 'conflict';
    END IF;
    IF hold.state = 'settled' THEN
        RETURN CASE WHEN hold.settled_micros = p_amount_micros THEN 'already_settled' ELSE 'conflict' END;
    END IF;
    RETURN ledger.recollect(hold, p_amount_micros);
END $$;


-- 4. Who waits for the disk. PostgreSQL keeps the lock of a row until its commit is on disk, so that one account does one
-- step for each flush. Whoever sets `ledger.flushes_after` for a statement of its own promises to flush before it answers:
-- by a transaction after it, whose commit lies behind everything before it in the log. Then the step of a busy account
-- commits without waiting. Whoever promises nothing is flushed by the own commit, as ever.
--
-- So a row can be read that is not on disk yet. Whatever is written on the ground of it is flushed behind it; an answer
-- that writes nothing, such as `already_held`, writes an empty word to be flushed behind it, too. A refusal promises nothing.

CREATE FUNCTION ledger.write_a_word() RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    SELECT pg_logical_emit_message(true, '', '')
$$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA ledger FROM PUBLIC;
