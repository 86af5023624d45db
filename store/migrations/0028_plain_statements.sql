-- Reserve and settle in plain statements, and fewer conditions for every row to be read.
--
-- What the two operations do in their plain case stays as 0022 has it, in three statements instead of one: the parts of one
-- statement hand rows to each other, and setting that up costs more than two statements do. Locks, and who waits for
-- the disk, stay, too.

LOCK TABLE ledger.holds, ledger.books, ledger.transfers IN ACCESS EXCLUSIVE MODE;


-- 1. Transfers know whether they are of the kind that a hold sees once at most: reserved, settled, released, expired,
-- recollected, short. Both indexes over them say so with that word, which is quicker to read than a condition. Whoever
-- inserts one without it has its numbers and the word from the trigger; it was `stamped` for that before.

ALTER TABLE ledger.transfers RENAME COLUMN stamped TO once;
ALTER TABLE ledger.transfers ALTER COLUMN once DROP DEFAULT;

DROP INDEX ledger.transfers_once_per_hold;
DROP INDEX ledger.transfers_rarer;

ALTER TABLE ledger.transfers DISABLE TRIGGER append_only;
UPDATE ledger.transfers SET once = true WHERE NOT once AND work_id IS NOT NULL AND operation <= 'grant';
ALTER TABLE ledger.transfers ENABLE ALWAYS TRIGGER append_only;

CREATE UNIQUE INDEX transfers_once_per_hold ON ledger.transfers (account_id, work_id, try_number, operation) WHERE once;
CREATE INDEX transfers_rarer ON ledger.transfers (account_id, work_id) WHERE NOT once;

-- As before, and it says whether the operation happens to a hold once at most; and a book that was frozen while the
-- reservation waited for it lends nothing.
CREATE OR REPLACE FUNCTION ledger.apply_transfer() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF (NEW.amount_micros BETWEEN 1 AND 1000000000000000 AND (NEW.work_id IS NULL) = (NEW.try_number IS NULL)
        AND (NEW.key IS NULL OR octet_length(NEW.key) BETWEEN 1 AND 255)) IS NOT TRUE
    THEN
        RAISE EXCEPTION 'no operation makes this transfer' USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.operation = 'reserve' AND NEW.debit = 'available' AND NEW.credit = 'held' AND NEW.work_id IS NOT NULL THEN
        IF NEW.shard = 0 THEN
            UPDATE ledger.books
               SET available_micros = available_micros - NEW.amount_micros, available_entries = available_entries + 1,
                   held_micros = held_micros + NEW.amount_micros, held_entries = held_entries + 1
             WHERE account_id = NEW.account_id AND shard = 0 AND available_micros >= NEW.amount_micros AND NOT frozen
            RETURNING available_micros, available_entries, held_micros, held_entries
                 INTO NEW.debit_balance_micros, NEW.debit_number, NEW.credit_balance_micros, NEW.credit_number;
            IF NOT FOUND THEN
                RETURN NULL;
            END IF;
        ELSE
            UPDATE ledger.books
               SET available_micros = available_micros - NEW.amount_micros, available_entries = available_entries + 1
             WHERE account_id = NEW.account_id AND shard = 0 AND available_micros >= NEW.amount_micros AND NOT frozen
            RETURNING available_micros, available_entries INTO NEW.debit_balance_micros, NEW.debit_number;
            IF NOT FOUND THEN
                RETURN NULL;
            END IF;
            UPDATE ledger.books SET held_micros = held_micros + NEW.amount_micros, held_entries = held_entries + 1
             WHERE account_id = NEW.account_id AND shard = NEW.shard
            RETURNING held_micros, held_entries INTO NEW.credit_balance_micros, NEW.credit_number;
        END IF;
    ELSIF NEW.operation = 'settle' AND NEW.debit = 'held' AND NEW.credit = 'revenue' AND NEW.work_id IS NOT NULL THEN
        UPDATE ledger.books
           SET held_micros = held_micros - NEW.amount_micros, held_entries = held_entries + 1,
               revenue_micros = revenue_micros + NEW.amount_micros, revenue_entries = revenue_entries + 1
         WHERE account_id = NEW.account_id AND shard = NEW.shard
        RETURNING held_micros, held_entries, revenue_micros, revenue_entries
             INTO NEW.debit_balance_micros, NEW.debit_number, NEW.credit_balance_micros, NEW.credit_number;
        IF NEW.debit_balance_micros < 0 OR NEW.credit_balance_micros > 9000000000000000000 THEN
            RAISE EXCEPTION 'a balance would pass its limit' USING ERRCODE = 'check_violation';
        END IF;
    ELSE
        NEW := ledger.apply_rarer_transfer(NEW);
    END IF;
    NEW.transfer_id := nextval('ledger.transfer_ids');
    NEW.created_at := clock_timestamp();
    NEW.once := NEW.work_id IS NOT NULL AND NEW.operation <= 'grant';
    RETURN NEW;  -- a missing book leaves its numbers null, and NOT NULL refuses the transfer
END $$;

DROP TRIGGER apply_transfer ON ledger.transfers;
CREATE TRIGGER apply_transfer BEFORE INSERT ON ledger.transfers
    FOR EACH ROW WHEN (NEW.once IS NULL) EXECUTE FUNCTION ledger.apply_transfer();
ALTER TABLE ledger.transfers ENABLE ALWAYS TRIGGER apply_transfer;

CREATE OR REPLACE FUNCTION ledger.refuse_removal_of_a_hold() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF OLD.state <> 'held' OR OLD.amount_micros = 0 OR EXISTS (
        SELECT FROM ledger.transfers AS moved
         WHERE (moved.account_id, moved.work_id, moved.try_number) = (OLD.account_id, OLD.work_id, OLD.try_number)
           AND moved.once)
    THEN
        RAISE EXCEPTION 'DELETE of ledger.holds is refused: holds are kept' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN OLD;
END $$;


-- 2. Guards. A hold that is opened by hand comes without a stamp and gets it here; a book is followed by one trigger.

ALTER TABLE ledger.holds ALTER COLUMN stamp DROP DEFAULT;

CREATE FUNCTION ledger.keep_the_rules_of_opening() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF (NEW.state = 'held' AND NEW.settled_micros = 0 AND NEW.released_micros = 0 AND NEW.shortfall_micros = 0
        AND NEW.refunded_micros = 0 AND NEW.ended_at IS NULL AND NEW.corrected_at IS NULL AND NEW.try_number >= 1
        AND NEW.amount_micros BETWEEN 0 AND 1000000000000000) IS NOT TRUE
    THEN
        RAISE EXCEPTION 'the parts of a hold do not add up' USING ERRCODE = 'check_violation';
    END IF;
    NEW.stamp := 0;
    RETURN NEW;
END $$;

DROP TRIGGER rules_of_opening ON ledger.holds;
CREATE TRIGGER rules_of_opening BEFORE INSERT ON ledger.holds
    FOR EACH ROW WHEN (NEW.stamp IS NULL) EXECUTE FUNCTION ledger.keep_the_rules_of_opening();
ALTER TABLE ledger.holds ENABLE ALWAYS TRIGGER rules_of_opening;

-- Tell of a balance that fell below thresholds, and arm those that it has reached again.
CREATE FUNCTION store.watch_balance(p_book ledger.books) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    crossed bigint[];
    shown   numeric;
BEGIN
    IF p_book.available_micros < p_book.alert_below_micros THEN
        WITH fired AS (
            UPDATE store.alert_thresholds
               SET arms_at_micros = threshold_micros + greatest(threshold_micros / 10, 1)  -- a margin, against flutter
             WHERE account_id = p_book.account_id AND arms_at_micros IS NULL
               AND threshold_micros > p_book.available_micros
            RETURNING threshold_micros
        )
        SELECT array_agg(threshold_micros ORDER BY threshold_micros DESC) INTO crossed FROM fired;
        IF crossed IS NULL THEN  -- told before
            RETURN;
        END IF;
        shown := trim_scale((p_book.available_micros / 1000)::numeric / 1000);
        INSERT INTO store.low_balance_alerts (account_id, balance_micros, thresholds_micros)
        VALUES (p_book.account_id, p_book.available_micros, crossed);
        PERFORM store.enqueue_event(p_book.account_id, NULL, 'credits.low_balance', json_build_object(
            'account_id', p_book.account_id,
            'current_balance', shown,
            'thresholds_crossed', (
                SELECT json_agg(json_build_object(
                           'threshold', trim_scale(threshold::numeric / 1000000), 'balance_at', shown)
                           ORDER BY threshold DESC)
                  FROM unnest(crossed) AS threshold)));
    ELSIF p_book.available_micros >= p_book.arm_from_micros THEN
        UPDATE store.alert_thresholds SET arms_at_micros = NULL
         WHERE account_id = p_book.account_id AND arms_at_micros <= p_book.available_micros;
    END IF;
END $$;

CREATE FUNCTION ledger.follow_a_book() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF pg_trigger_depth() = 1 THEN  -- a statement of its own; what a transfer's trigger does is deeper
        RAISE EXCEPTION 'UPDATE of ledger.books is refused: a balance moves by a transfer only'
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.available_micros <> OLD.available_micros AND current_setting('session_replication_role') <> 'replica' THEN
        PERFORM store.watch_balance(NEW);
    END IF;
    RETURN NULL;
END $$;

DROP TRIGGER watch_balance ON ledger.books;
DROP TRIGGER moved_by_transfers ON ledger.books;
CREATE TRIGGER moved_by_transfers AFTER UPDATE ON ledger.books
    FOR EACH ROW WHEN (NEW.stamp = OLD.stamp) EXECUTE FUNCTION ledger.follow_a_book();
ALTER TABLE ledger.books ENABLE ALWAYS TRIGGER moved_by_transfers;
DROP FUNCTION store.watch_balance();
DROP FUNCTION ledger.refuse_by_hand();


-- 3. The two operations. `p_flushes_after` promises, for one call, what `ledger.flushes_after` promises for a statement: the
-- caller flushes before it answers. A word that is not on disk yet then ends in `_unflushed`.

CREATE TEMPORARY TABLE callers ON COMMIT DROP AS  -- the roles that may call them now, and shall go on
SELECT proname AS operation, grantee::regrole AS role
  FROM pg_proc CROSS JOIN LATERAL aclexplode(proacl)
 WHERE oid IN ('ledger.reserve'::regproc, 'ledger.settle'::regproc) AND grantee NOT IN (0, proowner);

DROP FUNCTION ledger.reserve(uuid, uuid, integer, bigint, text, timestamptz, text);
DROP FUNCTION ledger.settle(uuid, uuid, integer, bigint);

-- Available to held: held | held_unflushed | already_held | insufficient | conflict | closed | frozen | no_account.
CREATE FUNCTION ledger.reserve(
    p_account_id uuid, p_work_id uuid, p_try_number integer, p_amount_micros bigint,
    p_price_version text, p_expires_at timestamptz, p_key text DEFAULT NULL, p_flushes_after boolean DEFAULT false
) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    available        bigint;
    available_number bigint;
    held             bigint;
    held_number      bigint;
    is_busy          boolean;
BEGIN
    IF p_amount_micros BETWEEN 1 AND 1000000000000000 AND p_try_number >= 1 THEN
        INSERT INTO ledger.holds (account_id, work_id, try_number, amount_micros, price_version, expires_at, stamp)
        VALUES (p_account_id, p_work_id, p_try_number, p_amount_micros, p_price_version, p_expires_at, 1)
        ON CONFLICT DO NOTHING;
        IF FOUND THEN
            UPDATE ledger.books
               SET available_micros = available_micros - p_amount_micros, available_entries = available_entries + 1,
                   held_micros = held_micros + p_amount_micros, held_entries = held_entries + 1, stamp = stamp + 1,
                   heat = CASE WHEN age(xmin) < 64 THEN least(heat + 1, 4) ELSE 0 END
             WHERE account_id = p_account_id AND shard = 0 AND available_micros >= p_amount_micros
               AND (available_micros - p_amount_micros < alert_below_micros) IS NOT TRUE AND NOT frozen
            RETURNING available_micros, available_entries, held_micros, held_entries, heat = 4
                 INTO available, available_number, held, held_number, is_busy;
            IF FOUND THEN
                INSERT INTO ledger.transfers
                    (transfer_id, amount_micros, debit_number, debit_balance_micros, credit_number,
                     credit_balance_micros, created_at, debit, credit, operation, try_number, account_id, work_id, key,
                     once)
                VALUES (nextval('ledger.transfer_ids'), p_amount_micros, available_number, available, held_number,
                        held, clock_timestamp(), 'available', 'held', 'reserve', p_try_number, p_account_id, p_work_id,
                        p_key, true);
                IF is_busy THEN
                    RETURN 'held' || ledger.flushed_later(p_flushes_after);
                END IF;
                RETURN 'held';
            END IF;
        END IF;
    END IF;
    RETURN ledger.reserve_the_long_way(
        p_account_id, p_work_id, p_try_number, p_amount_micros, p_price_version, p_expires_at, p_key);
END $$;

-- As before, and one that waited while its account was frozen is told so.
CREATE OR REPLACE FUNCTION ledger.reserve_the_long_way(
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
              AND moved.once);
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
        RETURN CASE WHEN EXISTS (SELECT FROM ledger.books WHERE account_id = p_account_id AND shard = 0 AND frozen)
                    THEN 'frozen' ELSE 'insufficient' END;
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
-- settled | settled_unflushed | already_settled | recollected | shortfall | no_hold | conflict.
--
-- A hold that its book does not follow leaves the transfer without numbers, and NOT NULL refuses it.
CREATE FUNCTION ledger.settle(
    p_account_id uuid, p_work_id uuid, p_try_number integer, p_amount_micros bigint,
    p_flushes_after boolean DEFAULT false
) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    on_shard       smallint;
    held           bigint;
    held_number    bigint;
    revenue        bigint;
    revenue_number bigint;
    is_busy        boolean;
BEGIN
    UPDATE ledger.holds
       SET state = 'settled', settled_micros = amount_micros, ended_at = clock_timestamp(), stamp = stamp + 1
     WHERE (account_id, work_id, try_number) = (p_account_id, p_work_id, p_try_number)
       AND state <= 'held' AND amount_micros = p_amount_micros AND amount_micros > 0
    RETURNING shard INTO on_shard;
    IF NOT FOUND THEN
        RETURN ledger.settle_the_long_way(p_account_id, p_work_id, p_try_number, p_amount_micros);
    END IF;
    UPDATE ledger.books
       SET held_micros = held_micros - p_amount_micros, held_entries = held_entries + 1,
           revenue_micros = revenue_micros + p_amount_micros, revenue_entries = revenue_entries + 1,
           stamp = stamp + 1, heat = CASE WHEN age(xmin) < 64 THEN least(heat + 1, 4) ELSE 0 END
     WHERE account_id = p_account_id AND shard = on_shard AND held_micros >= p_amount_micros
       AND revenue_micros <= 9000000000000000000 - p_amount_micros
    RETURNING held_micros, held_entries, revenue_micros, revenue_entries, heat = 4
         INTO held, held_number, revenue, revenue_number, is_busy;
    INSERT INTO ledger.transfers
        (transfer_id, amount_micros, debit_number, debit_balance_micros, credit_number, credit_balance_micros, created_at,
         debit, credit, operation, try_number, account_id, work_id, shard, once)
    VALUES (nextval('ledger.transfer_ids'), p_amount_micros, held_number, held, revenue_number, revenue,
            clock_timestamp(), 'held', 'revenue', 'settle', p_try_number, p_account_id, p_work_id, on_shard, true);
    IF is_busy THEN
        RETURN 'settled' || ledger.flushed_later(p_flushes_after);
    END IF;
    RETURN 'settled';
END $$;

-- As before, and a repeat waits for the disk, as that of the others does: what it tells of may not be there yet.
-- Held back to available: released | already_released | already_settled | no_hold. The reason 'expired' is the sweeper's.
CREATE OR REPLACE FUNCTION ledger.release(
    p_account_id uuid, p_work_id uuid, p_try_number integer, p_reason text
) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    expiring  CONSTANT boolean := p_reason = 'expired';
    amount    bigint;
    on_shard  smallint;
    end_state ledger.hold_state;
BEGIN
    UPDATE ledger.holds
       SET state = CASE WHEN expiring THEN 'expired' ELSE 'released' END::ledger.hold_state,
           released_micros = amount_micros, ended_at = clock_timestamp(), reason = p_reason
     WHERE (account_id, work_id, try_number) = (p_account_id, p_work_id, p_try_number) AND state <= 'held'
    RETURNING amount_micros, shard INTO amount, on_shard;
    IF FOUND THEN
        IF amount > 0 THEN
            INSERT INTO ledger.transfers
                (account_id, debit, credit, amount_micros, operation, work_id, try_number, cause, shard)
            VALUES (p_account_id, 'held', 'available', amount,
                    CASE WHEN expiring THEN 'expire' ELSE 'release' END::ledger.operation,
                    p_work_id, p_try_number, p_reason, on_shard);
        END IF;
        RETURN 'released';
    END IF;
    PERFORM ledger.write_a_word();
    SELECT state INTO end_state FROM ledger.holds
     WHERE (account_id, work_id, try_number) = (p_account_id, p_work_id, p_try_number);
    RETURN CASE
        WHEN end_state IS NULL THEN 'no_hold'
        WHEN end_state = 'settled' THEN 'already_settled'
        ELSE 'already_released'
    END;
END $$;

-- Of a busy account: commit without waiting where the caller has promised to flush, and what its word ends in then. Whoever
-- promised it for the statement (`ledger.flushes_after`) asks `synchronous_commit` instead.
CREATE FUNCTION ledger.flushed_later(p_flushes_after boolean) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF p_flushes_after OR current_setting('ledger.flushes_after', true) = 'on' THEN
        PERFORM set_config('synchronous_commit', 'off', true);
    END IF;
    RETURN CASE WHEN p_flushes_after THEN '_unflushed' ELSE '' END;
END $$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA ledger FROM PUBLIC;

DO $$
DECLARE
    one record;
BEGIN
    FOR one IN SELECT * FROM callers LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION ledger.%I TO %s', one.operation, one.role);
    END LOOP;
END $$;
