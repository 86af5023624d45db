-- The ledger in fewer and freer rows, and its operations after the fact: refunds, clawbacks, disputes, adjustments.
--
-- Sections: 1 types, 2 books, 3 transfers and holds, 4 how a transfer moves balances, 5 the life of a hold, 6 credits in,
-- 7 operations with a key, 8 reading, 9 who may do what.
--
-- Locks are taken in this order, everywhere: generation, hold, the account's book 0, its book of the hold's shard.

LOCK TABLE ledger.holds, ledger.transfers, ledger.grants, ledger.accounts IN ACCESS EXCLUSIVE MODE;


-- 1. Types. A value that is added here cannot be written as a literal of its type before the commit, except in bodies of
-- functions, which are read later; hence some casts from text below.

ALTER TYPE ledger.account_kind ADD VALUE 'disputed';   -- set aside until a bank has decided
ALTER TYPE ledger.account_kind ADD VALUE 'clearing';   -- taken back because its payment was; zero or above
ALTER TYPE ledger.operation ADD VALUE 'refund';        -- of a settlement; those before it happen once per hold
ALTER TYPE ledger.operation ADD VALUE 'claw_back';
ALTER TYPE ledger.operation ADD VALUE 'dispute';
ALTER TYPE ledger.operation ADD VALUE 'restore';       -- of a clawback that failed, or of a dispute that was won
ALTER TYPE ledger.operation ADD VALUE 'lose';          -- a dispute
ALTER TYPE ledger.operation ADD VALUE 'adjust';
ALTER TYPE ledger.operation ADD VALUE 'repay';         -- debt, from credits that came in


-- 2. Books: all kinds of an account in one row, so that a transfer between two kinds writes one row and not two.
--
-- Book 0 holds everything. The other sixteen hold only what work under way and done has moved to `held` and `revenue`:
-- while an account is busy its holds go there, each to one of them, and their settlements leave book 0 alone, whose lock
-- the next reservation is waiting for. Busy means that book 0 was written within the last 64 transactions of the server.
-- `available` is never split, so the last credit is always found.

CREATE TABLE ledger.books (
    account_id          uuid NOT NULL,
    shard               smallint NOT NULL,
    available_micros    bigint NOT NULL DEFAULT 0,
    available_entries   bigint NOT NULL DEFAULT 0,
    held_micros         bigint NOT NULL DEFAULT 0,
    held_entries        bigint NOT NULL DEFAULT 0,
    revenue_micros      bigint NOT NULL DEFAULT 0,
    revenue_entries     bigint NOT NULL DEFAULT 0,
    debt_micros         bigint NOT NULL DEFAULT 0,
    debt_entries        bigint NOT NULL DEFAULT 0,
    disputed_micros     bigint NOT NULL DEFAULT 0,
    disputed_entries    bigint NOT NULL DEFAULT 0,
    clearing_micros     bigint NOT NULL DEFAULT 0,
    clearing_entries    bigint NOT NULL DEFAULT 0,
    payment_micros      bigint NOT NULL DEFAULT 0,
    payment_entries     bigint NOT NULL DEFAULT 0,
    promotion_micros    bigint NOT NULL DEFAULT 0,
    promotion_entries   bigint NOT NULL DEFAULT 0,
    adjustment_micros   bigint NOT NULL DEFAULT 0,
    adjustment_entries  bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (account_id, shard)
) WITH (fillfactor = 25);  -- rows that change all the time: leave room for updates within the page

INSERT INTO ledger.books (
    account_id, shard, available_micros, available_entries, held_micros, held_entries, revenue_micros, revenue_entries,
    debt_micros, debt_entries, payment_micros, payment_entries, promotion_micros, promotion_entries,
    adjustment_micros, adjustment_entries)
SELECT account_id, 0,
       sum(balance_micros) FILTER (WHERE kind = 'available'), sum(entry_count) FILTER (WHERE kind = 'available'),
       sum(balance_micros) FILTER (WHERE kind = 'held'), sum(entry_count) FILTER (WHERE kind = 'held'),
       sum(balance_micros) FILTER (WHERE kind = 'revenue'), sum(entry_count) FILTER (WHERE kind = 'revenue'),
       sum(balance_micros) FILTER (WHERE kind = 'debt'), sum(entry_count) FILTER (WHERE kind = 'debt'),
       sum(balance_micros) FILTER (WHERE kind = 'payment'), sum(entry_count) FILTER (WHERE kind = 'payment'),
       sum(balance_micros) FILTER (WHERE kind = 'promotion'), sum(entry_count) FILTER (WHERE kind = 'promotion'),
       sum(balance_micros) FILTER (WHERE kind = 'adjustment'), sum(entry_count) FILTER (WHERE kind = 'adjustment')
  FROM ledger.accounts GROUP BY account_id;

INSERT INTO ledger.books (account_id, shard)
SELECT account_id, shards.shard FROM ledger.books, generate_series(1, 16) AS shards (shard);

DROP TABLE ledger.accounts;
DROP FUNCTION ledger.open_account();

CREATE FUNCTION ledger.open_book() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NEW.shard NOT BETWEEN 0 AND 16
        OR (NEW.available_micros, NEW.held_micros, NEW.revenue_micros, NEW.debt_micros, NEW.disputed_micros,
            NEW.clearing_micros, NEW.payment_micros, NEW.promotion_micros, NEW.adjustment_micros)
            IS DISTINCT FROM (0, 0, 0, 0, 0, 0, 0, 0, 0)
        OR (NEW.available_entries, NEW.held_entries, NEW.revenue_entries, NEW.debt_entries, NEW.disputed_entries,
            NEW.clearing_entries, NEW.payment_entries, NEW.promotion_entries, NEW.adjustment_entries)
            IS DISTINCT FROM (0, 0, 0, 0, 0, 0, 0, 0, 0)
    THEN
        RAISE EXCEPTION 'a ledger book begins empty' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER opened_empty BEFORE INSERT ON ledger.books
    FOR EACH ROW EXECUTE FUNCTION ledger.open_book();
-- Depth 0 is a statement of its own; a transfer's trigger runs at depth 1.
CREATE TRIGGER moved_by_transfers AFTER UPDATE ON ledger.books
    FOR EACH ROW WHEN (pg_trigger_depth() = 0)
    EXECUTE FUNCTION ledger.refuse('a balance moves by a transfer only');
CREATE TRIGGER never_removed BEFORE DELETE ON ledger.books
    FOR EACH ROW EXECUTE FUNCTION ledger.refuse('ledger books are kept');
CREATE TRIGGER never_removed_whole BEFORE TRUNCATE ON ledger.books
    EXECUTE FUNCTION ledger.refuse('ledger books are kept');
ALTER TABLE ledger.books ENABLE ALWAYS TRIGGER opened_empty;
ALTER TABLE ledger.books ENABLE ALWAYS TRIGGER moved_by_transfers;
ALTER TABLE ledger.books ENABLE ALWAYS TRIGGER never_removed;
ALTER TABLE ledger.books ENABLE ALWAYS TRIGGER never_removed_whole;

-- Every account has its books from its first moment.
CREATE OR REPLACE FUNCTION ledger.open_accounts() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO ledger.books (account_id, shard)
    SELECT NEW.account_id, shards.shard FROM generate_series(0, 16) AS shards (shard);
    RETURN NULL;
END $$;

-- What each kind of an account stands at.
CREATE VIEW ledger.accounts AS
SELECT account_id, kind, sum(micros)::bigint AS balance_micros, sum(entries)::bigint AS entry_count
  FROM ledger.books CROSS JOIN LATERAL (VALUES
           ('available'::ledger.account_kind, available_micros, available_entries),
           ('held', held_micros, held_entries),
           ('revenue', revenue_micros, revenue_entries),
           ('debt', debt_micros, debt_entries),
           ('disputed'::text::ledger.account_kind, disputed_micros, disputed_entries),
           ('clearing'::text::ledger.account_kind, clearing_micros, clearing_entries),
           ('payment', payment_micros, payment_entries),
           ('promotion', promotion_micros, promotion_entries),
           ('adjustment', adjustment_micros, adjustment_entries)
       ) AS of_kind (kind, micros, entries)
 GROUP BY account_id, kind;


-- 3. Transfers and holds know their shard: it is that of the legs in `held` and `revenue`. The other legs are in book 0.

ALTER TABLE ledger.transfers ADD COLUMN shard smallint NOT NULL DEFAULT 0;

ALTER TABLE ledger.holds
    ADD COLUMN refunded_micros bigint NOT NULL DEFAULT 0,  -- the part of settled_micros that was given back later
    ADD COLUMN shard smallint NOT NULL DEFAULT 0;

-- As before, without the operations that may happen more than once to a hold.
DROP INDEX ledger.transfers_once_per_hold;
CREATE UNIQUE INDEX transfers_once_per_hold ON ledger.transfers (account_id, work_id, try_number, operation)
    WHERE work_id IS NOT NULL AND operation <= 'grant';
CREATE INDEX transfers_after_a_hold ON ledger.transfers (account_id, work_id)
    WHERE work_id IS NOT NULL AND operation > 'grant';

-- A number is gapless per account, kind and shard, and the balance is that of the shard; the kinds without shards are in
-- shard 0.
CREATE OR REPLACE VIEW ledger.entries AS
SELECT account_id, debit AS kind, debit_number AS number, -amount_micros AS amount_micros,
       debit_balance_micros AS balance_micros, transfer_id, operation, work_id, try_number, key, cause, created_at,
       CASE WHEN debit IN ('held', 'revenue') THEN shard ELSE 0::smallint END AS shard
  FROM ledger.transfers
UNION ALL
SELECT account_id, credit, credit_number, amount_micros,
       credit_balance_micros, transfer_id, operation, work_id, try_number, key, cause, created_at,
       CASE WHEN credit IN ('held', 'revenue') THEN shard ELSE 0::smallint END
  FROM ledger.transfers;

CREATE OR REPLACE FUNCTION ledger.keep_the_rules_of_holds() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF (NEW.state = 'held' AND NEW.settled_micros = 0 AND NEW.released_micros = 0 AND NEW.shortfall_micros = 0
            AND NEW.refunded_micros = 0 AND NEW.ended_at IS NULL AND NEW.corrected_at IS NULL AND NEW.try_number >= 1
            AND NEW.amount_micros BETWEEN 0 AND 1000000000000000) IS NOT TRUE
        THEN
            RAISE EXCEPTION 'the parts of a hold do not add up' USING ERRCODE = 'check_violation';
        END IF;
        RETURN NULL;
    END IF;
    IF OLD.account_id <> NEW.account_id OR OLD.work_id <> NEW.work_id OR OLD.try_number <> NEW.try_number
        OR OLD.amount_micros <> NEW.amount_micros OR OLD.price_version <> NEW.price_version
        OR OLD.opened_at <> NEW.opened_at OR OLD.expires_at <> NEW.expires_at OR OLD.shard <> NEW.shard
    THEN
        RAISE EXCEPTION 'the terms of a hold are fixed' USING ERRCODE = 'restrict_violation';
    END IF;
    IF OLD.state = 'held' AND NEW.state <> 'held' AND NEW.corrected_at IS NULL AND NEW.refunded_micros = 0 THEN
        NULL;  -- its end
    ELSIF OLD.state IN ('released', 'expired') AND NEW.state = 'settled' AND NEW.corrected_at IS NOT NULL
        AND NEW.refunded_micros = 0 THEN
        NULL;  -- the one correction of its end
    ELSIF OLD.state = 'settled' AND NEW.state = 'settled' AND NEW.refunded_micros > OLD.refunded_micros
        AND (OLD.settled_micros, OLD.released_micros, OLD.shortfall_micros, OLD.ended_at)
            = (NEW.settled_micros, NEW.released_micros, NEW.shortfall_micros, NEW.ended_at)
        AND OLD.corrected_at IS NOT DISTINCT FROM NEW.corrected_at
    THEN
        NULL;  -- a refund of a part
    ELSE
        RAISE EXCEPTION 'a hold ends once' USING ERRCODE = 'restrict_violation';
    END IF;
    IF (NEW.ended_at IS NOT NULL AND NEW.settled_micros >= 0 AND NEW.released_micros >= 0
        AND NEW.settled_micros + NEW.released_micros = NEW.amount_micros
        AND (NEW.state = 'settled' OR NEW.settled_micros = 0)
        AND NEW.shortfall_micros BETWEEN 0 AND CASE WHEN NEW.corrected_at IS NULL THEN 0 ELSE NEW.settled_micros END
        AND NEW.refunded_micros <= NEW.settled_micros) IS NOT TRUE
    THEN
        RAISE EXCEPTION 'the parts of a hold do not add up' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION ledger.refuse_removal_of_a_hold() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF OLD.state <> 'held' OR OLD.amount_micros = 0 OR EXISTS (
        SELECT FROM ledger.transfers AS moved
         WHERE (moved.account_id, moved.work_id, moved.try_number) = (OLD.account_id, OLD.work_id, OLD.try_number)
           AND moved.operation <= 'grant')  -- so says the index
    THEN
        RAISE EXCEPTION 'DELETE of ledger.holds is refused: holds are kept' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN OLD;
END $$;


-- 4. How a transfer moves balances. It receives its numbers, its balances and its time while its books are locked. The
-- two frequent operations are written out; all others take the long way. A reservation that is not covered is not
-- inserted: zero rows, nothing changed. What no operation makes is an error.

CREATE FUNCTION ledger.move(
    p_account_id uuid, p_shard smallint, p_debit ledger.account_kind, p_credit ledger.account_kind,
    p_amount_micros bigint
) RETURNS ledger.books
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    book ledger.books;
BEGIN
    UPDATE ledger.books SET
        available_micros = available_micros
            + CASE 'available'::text WHEN p_credit::text THEN p_amount_micros WHEN p_debit::text THEN -p_amount_micros
                   ELSE 0 END,
        available_entries = available_entries + CASE WHEN 'available' IN (p_credit, p_debit) THEN 1 ELSE 0 END,
        held_micros = held_micros
            + CASE 'held'::text WHEN p_credit::text THEN p_amount_micros WHEN p_debit::text THEN -p_amount_micros
                   ELSE 0 END,
        held_entries = held_entries + CASE WHEN 'held' IN (p_credit, p_debit) THEN 1 ELSE 0 END,
        revenue_micros = revenue_micros
            + CASE 'revenue'::text WHEN p_credit::text THEN p_amount_micros WHEN p_debit::text THEN -p_amount_micros
                   ELSE 0 END,
        revenue_entries = revenue_entries + CASE WHEN 'revenue' IN (p_credit, p_debit) THEN 1 ELSE 0 END,
        debt_micros = debt_micros
            + CASE 'debt'::text WHEN p_credit::text THEN p_amount_micros WHEN p_debit::text THEN -p_amount_micros
                   ELSE 0 END,
        debt_entries = debt_entries + CASE WHEN 'debt' IN (p_credit, p_debit) THEN 1 ELSE 0 END,
        disputed_micros = disputed_micros
            + CASE 'disputed'::text WHEN p_credit::text THEN p_amount_micros WHEN p_debit::text THEN -p_amount_micros
                   ELSE 0 END,
        disputed_entries = disputed_entries + CASE WHEN 'disputed' IN (p_credit, p_debit) THEN 1 ELSE 0 END,
        clearing_micros = clearing_micros
            + CASE 'clearing'::text WHEN p_credit::text THEN p_amount_micros WHEN p_debit::text THEN -p_amount_micros
                   ELSE 0 END,
        clearing_entries = clearing_entries + CASE WHEN 'clearing' IN (p_credit, p_debit) THEN 1 ELSE 0 END,
        payment_micros = payment_micros
            + CASE 'payment'::text WHEN p_credit::text THEN p_amount_micros WHEN p_debit::text THEN -p_amount_micros
                   ELSE 0 END,
        payment_entries = payment_entries + CASE WHEN 'payment' IN (p_credit, p_debit) THEN 1 ELSE 0 END,
        promotion_micros = promotion_micros
            + CASE 'promotion'::text WHEN p_credit::text THEN p_amount_micros WHEN p_debit::text THEN -p_amount_micros
                   ELSE 0 END,
        promotion_entries = promotion_entries + CASE WHEN 'promotion' IN (p_credit, p_debit) THEN 1 ELSE 0 END,
        adjustment_micros = adjustment_micros
            + CASE 'adjustment'::text WHEN p_credit::text THEN p_amount_micros WHEN p_debit::text THEN -p_amount_micros
                   ELSE 0 END,
        adjustment_entries = adjustment_entries + CASE WHEN 'adjustment' IN (p_credit, p_debit) THEN 1 ELSE 0 END
     WHERE account_id = p_account_id AND shard = p_shard
    RETURNING * INTO book;
    RETURN book;
END $$;

CREATE FUNCTION ledger.apply_rarer_transfer(p_asked ledger.transfers) RETURNS ledger.transfers
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    most         CONSTANT bigint := 9000000000000000000;
    transfer     ledger.transfers := p_asked;
    debit_shard  CONSTANT smallint := CASE WHEN p_asked.debit IN ('held', 'revenue') THEN p_asked.shard ELSE 0 END;
    credit_shard CONSTANT smallint := CASE WHEN p_asked.credit IN ('held', 'revenue') THEN p_asked.shard ELSE 0 END;
    debited      jsonb;
    credited     jsonb;
BEGIN
    IF (CASE transfer.operation  -- each has its route; money enters from a fact outside only (INV-7)
            WHEN 'release'   THEN transfer.debit = 'held'       AND transfer.credit = 'available'
            WHEN 'expire'    THEN transfer.debit = 'held'       AND transfer.credit = 'available'
            WHEN 'recollect' THEN transfer.debit = 'available'  AND transfer.credit = 'revenue'
            WHEN 'shortfall' THEN transfer.debit = 'debt'       AND transfer.credit = 'revenue'
            WHEN 'refund'    THEN transfer.debit = 'revenue'    AND transfer.credit = 'available'
            WHEN 'repay'     THEN transfer.debit = 'available'  AND transfer.credit = 'debt'
            WHEN 'dispute'   THEN transfer.debit = 'available'  AND transfer.credit = 'disputed'
            WHEN 'grant'     THEN transfer.debit IN ('payment', 'promotion', 'adjustment')
                                  AND transfer.credit = 'available'
            WHEN 'claw_back' THEN transfer.debit IN ('available', 'debt') AND transfer.credit = 'clearing'
            WHEN 'lose'      THEN transfer.debit IN ('disputed', 'available', 'debt') AND transfer.credit = 'clearing'
            WHEN 'restore'   THEN transfer.debit IN ('disputed', 'clearing') AND transfer.credit = 'available'
            WHEN 'adjust'    THEN (transfer.debit, transfer.credit)
                                  IN (('adjustment', 'available'), ('available', 'adjustment'))
        END
        AND (transfer.operation IN ('release', 'expire', 'recollect', 'shortfall', 'refund'))
            = (transfer.work_id IS NOT NULL)
    ) IS NOT TRUE THEN
        RAISE EXCEPTION 'no operation makes this transfer' USING ERRCODE = 'check_violation';
    END IF;
    IF debit_shard = credit_shard THEN
        debited := to_jsonb(ledger.move(
            transfer.account_id, debit_shard, transfer.debit, transfer.credit, transfer.amount_micros));
        credited := debited;
    ELSIF debit_shard < credit_shard THEN
        debited := to_jsonb(ledger.move(
            transfer.account_id, debit_shard, transfer.debit, NULL, transfer.amount_micros));
        credited := to_jsonb(ledger.move(
            transfer.account_id, credit_shard, NULL, transfer.credit, transfer.amount_micros));
    ELSE
        credited := to_jsonb(ledger.move(
            transfer.account_id, credit_shard, NULL, transfer.credit, transfer.amount_micros));
        debited := to_jsonb(ledger.move(
            transfer.account_id, debit_shard, transfer.debit, NULL, transfer.amount_micros));
    END IF;
    transfer.debit_balance_micros := debited ->> (transfer.debit || '_micros');
    transfer.debit_number := debited ->> (transfer.debit || '_entries');
    transfer.credit_balance_micros := credited ->> (transfer.credit || '_micros');
    transfer.credit_number := credited ->> (transfer.credit || '_entries');
    IF (transfer.debit_balance_micros
        < CASE WHEN transfer.debit IN ('debt', 'payment', 'promotion', 'adjustment') THEN -most ELSE 0 END
        OR transfer.credit_balance_micros
        > CASE WHEN transfer.credit IN ('debt', 'payment', 'promotion') THEN 0 ELSE most END)
    THEN
        RAISE EXCEPTION 'a balance would pass its limit' USING ERRCODE = 'check_violation';
    END IF;
    RETURN transfer;
END $$;

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
             WHERE account_id = NEW.account_id AND shard = 0 AND available_micros >= NEW.amount_micros
            RETURNING available_micros, available_entries, held_micros, held_entries
                 INTO NEW.debit_balance_micros, NEW.debit_number, NEW.credit_balance_micros, NEW.credit_number;
            IF NOT FOUND THEN
                RETURN NULL;
            END IF;
        ELSE
            UPDATE ledger.books
               SET available_micros = available_micros - NEW.amount_micros, available_entries = available_entries + 1
             WHERE account_id = NEW.account_id AND shard = 0 AND available_micros >= NEW.amount_micros
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
    RETURN NEW;  -- a missing book leaves its numbers null, and NOT NULL refuses the transfer
END $$;


-- 5. The life of a hold.
--
-- `state <= 'held'` and not `=`: with the latter, statistics that were taken while few holds were open make the planner
-- walk the index of all open holds instead of taking the hold by its key.

-- Available to held: held | already_held | insufficient | conflict | closed | frozen | no_account.
CREATE OR REPLACE FUNCTION ledger.reserve(
    p_account_id uuid, p_work_id uuid, p_try_number integer, p_amount_micros bigint,
    p_price_version text, p_expires_at timestamptz, p_key text DEFAULT NULL
) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    on_shard smallint;
    hold     ledger.holds;
BEGIN
    INSERT INTO ledger.holds (account_id, work_id, try_number, amount_micros, price_version, expires_at, shard)
    SELECT p_account_id, p_work_id, p_try_number, p_amount_micros, p_price_version, p_expires_at,
           CASE WHEN age(book.xmin) < 64 THEN 1 + floor(random() * 16) ELSE 0 END  -- hot: written a moment ago
      FROM store.accounts AS account
      JOIN ledger.books AS book ON book.account_id = account.account_id AND book.shard = 0
     WHERE account.account_id = p_account_id AND account.frozen_at IS NULL
    ON CONFLICT DO NOTHING
    RETURNING shard INTO on_shard;
    IF FOUND THEN
        IF p_amount_micros = 0 THEN
            RETURN 'held';
        END IF;
        INSERT INTO ledger.transfers
            (account_id, debit, credit, amount_micros, operation, work_id, try_number, key, shard)
        VALUES (p_account_id, 'available', 'held', p_amount_micros, 'reserve', p_work_id, p_try_number, p_key, on_shard);
        IF FOUND THEN
            RETURN 'held';
        END IF;
        DELETE FROM ledger.holds
         WHERE (account_id, work_id, try_number) = (p_account_id, p_work_id, p_try_number);
        RETURN 'insufficient';
    END IF;
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

-- A late success: takes again what the release gave back, as far as it is there, and books the rest as debt. The caller
-- has locked the hold and knows that it was released.
DROP FUNCTION ledger.recollect(uuid, uuid, integer, bigint);
CREATE FUNCTION ledger.recollect(p_hold ledger.holds, p_amount_micros bigint) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    taken bigint;
BEGIN
    SELECT least(available_micros, p_amount_micros) INTO STRICT taken FROM ledger.books
     WHERE account_id = p_hold.account_id AND shard = 0 FOR NO KEY UPDATE;
    UPDATE ledger.holds
       SET state = 'settled', settled_micros = p_amount_micros, released_micros = amount_micros - p_amount_micros,
           shortfall_micros = p_amount_micros - taken, corrected_at = clock_timestamp()
     WHERE (account_id, work_id, try_number) = (p_hold.account_id, p_hold.work_id, p_hold.try_number);
    IF taken > 0 THEN
        INSERT INTO ledger.transfers (account_id, debit, credit, amount_micros, operation, work_id, try_number, shard)
        VALUES (p_hold.account_id, 'available', 'revenue', taken, 'recollect', p_hold.work_id, p_hold.try_number,
                p_hold.shard);
    END IF;
    IF taken = p_amount_micros THEN
        RETURN 'recollected';
    END IF;
    INSERT INTO ledger.transfers (account_id, debit, credit, amount_micros, operation, work_id, try_number, shard)
    VALUES (p_hold.account_id, 'debt', 'revenue', p_amount_micros - taken, 'shortfall', p_hold.work_id,
            p_hold.try_number, p_hold.shard);
    RETURN 'shortfall';
END $$;

-- Held to revenue, the remainder back to available:
-- settled | already_settled | recollected | shortfall | no_hold | conflict.
CREATE OR REPLACE FUNCTION ledger.settle(
    p_account_id uuid, p_work_id uuid, p_try_number integer, p_amount_micros bigint
) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
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
    IF p_amount_micros > hold.amount_micros THEN
        RETURN 'conflict';
    END IF;
    IF hold.state = 'settled' THEN
        RETURN CASE WHEN hold.settled_micros = p_amount_micros THEN 'already_settled' ELSE 'conflict' END;
    END IF;
    RETURN ledger.recollect(hold, p_amount_micros);
END $$;

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
    SELECT state INTO end_state FROM ledger.holds
     WHERE (account_id, work_id, try_number) = (p_account_id, p_work_id, p_try_number);
    RETURN CASE
        WHEN end_state IS NULL THEN 'no_hold'
        WHEN end_state = 'settled' THEN 'already_settled'
        ELSE 'already_released'
    END;
END $$;


-- 6. Credits in. What comes in pays debt first, as a transfer of its own; what a release gives back does not, because it
-- was the account's all along.

-- The caller has just moved that much to available, and so holds the lock.
CREATE FUNCTION ledger.repay(p_account_id uuid, p_amount_micros bigint, p_key text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    paid bigint;
BEGIN
    SELECT least(-debt_micros, p_amount_micros) INTO STRICT paid
      FROM ledger.books WHERE account_id = p_account_id AND shard = 0;
    IF paid > 0 THEN
        INSERT INTO ledger.transfers (account_id, debit, credit, amount_micros, operation, key)
        VALUES (p_account_id, 'available', 'debt', paid, 'repay', p_key);
    END IF;
END $$;

-- Source to available: granted | already_granted | conflict | no_account. The key is unique in the whole ledger, so that
-- a payment routed to two accounts counts once. `differs` names what a conflict is about. A note is not part of the body.
CREATE OR REPLACE FUNCTION ledger.grant_credits(
    p_account_id uuid, p_amount_micros bigint, p_source ledger.account_kind, p_key text, p_note text,
    OUT word text, OUT differs text[]
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    first_one ledger.grants;
BEGIN
    differs := '{}';
    IF NOT EXISTS (SELECT FROM store.accounts WHERE account_id = p_account_id) THEN
        word := 'no_account';
        RETURN;
    END IF;
    INSERT INTO ledger.grants (key, account_id, amount_micros, source, note)
    VALUES (p_key, p_account_id, p_amount_micros, p_source, p_note)
    ON CONFLICT DO NOTHING;
    IF FOUND THEN
        INSERT INTO ledger.transfers (account_id, debit, credit, amount_micros, operation, key, cause)
        VALUES (p_account_id, p_source, 'available', p_amount_micros, 'grant', p_key, p_note);
        PERFORM ledger.repay(p_account_id, p_amount_micros, p_key);
        word := 'granted';
        RETURN;
    END IF;
    SELECT * INTO STRICT first_one FROM ledger.grants WHERE key = p_key;
    differs := array_remove(ARRAY[
        CASE WHEN first_one.account_id <> p_account_id THEN 'account_id' END,
        CASE WHEN first_one.amount_micros <> p_amount_micros THEN 'amount' END,
        CASE WHEN first_one.source <> p_source THEN 'source' END
    ], NULL);
    word := CASE WHEN differs = '{}' THEN 'already_granted' ELSE 'conflict' END;
END $$;


-- 7. Operations with a key. Each is one row, written once, and its transfers. All of one account wait for each other at
-- its book 0, so what is checked before the row is written still holds when it is.

CREATE TABLE ledger.keyed_operations (
    -- The account for what operators and tenants name; nobody for what is named outside, so that one money object has
    -- one effect in the whole ledger (INV-14).
    scope          uuid NOT NULL,
    key            text NOT NULL CHECK (octet_length(key) BETWEEN 1 AND 255),
    operation      text NOT NULL CHECK (operation IN (
                       'refund', 'claw_back', 'restore_clawback', 'dispute_hold', 'dispute_end', 'adjust')),
    account_id     uuid NOT NULL,
    amount_micros  bigint NOT NULL CHECK (amount_micros BETWEEN -1000000000000000 AND 1000000000000000),
    taken_micros   bigint NOT NULL DEFAULT 0,  -- how much of it was available; the rest is debt, or missing
    work_id        uuid,
    try_number     integer,
    payment_key    text,  -- the key of the grant that a clawback or dispute is about
    clawback_key   text,  -- that is restored
    dispute        text CHECK (octet_length(dispute) BETWEEN 1 AND 255),
    outcome        text CHECK (outcome IN ('restored', 'lost')),
    actor_one      text CHECK (length(actor_one) BETWEEN 1 AND 100),
    actor_two      text CHECK (length(actor_two) BETWEEN 1 AND 100),
    reason         text CHECK (length(reason) BETWEEN 1 AND 500),
    created_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (scope, key),
    CONSTRAINT refund_names_its_hold CHECK ((operation = 'refund') = (work_id IS NOT NULL AND try_number IS NOT NULL)),
    CONSTRAINT reversal_names_its_payment
        CHECK ((operation IN ('claw_back', 'dispute_hold')) = (payment_key IS NOT NULL)),
    CONSTRAINT restoring_names_its_clawback CHECK ((operation = 'restore_clawback') = (clawback_key IS NOT NULL)),
    CONSTRAINT dispute_has_a_name CHECK ((operation IN ('dispute_hold', 'dispute_end')) = (dispute IS NOT NULL)),
    CONSTRAINT end_has_an_outcome CHECK ((operation = 'dispute_end') = (outcome IS NOT NULL)),
    CONSTRAINT people_say_why
        CHECK ((operation IN ('refund', 'adjust')) = (actor_one IS NOT NULL AND reason IS NOT NULL)),
    CONSTRAINT two_people_adjust CHECK ((operation = 'adjust') = (actor_two IS NOT NULL) AND actor_one <> actor_two)
);

CREATE INDEX keyed_operations_of_hold ON ledger.keyed_operations (account_id, work_id) WHERE work_id IS NOT NULL;
CREATE INDEX keyed_operations_of_payment ON ledger.keyed_operations (payment_key) WHERE payment_key IS NOT NULL;
CREATE UNIQUE INDEX keyed_operations_restore_once ON ledger.keyed_operations (clawback_key)
    WHERE clawback_key IS NOT NULL;
CREATE UNIQUE INDEX keyed_operations_dispute_once ON ledger.keyed_operations (dispute, operation)
    WHERE dispute IS NOT NULL;

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON ledger.keyed_operations
    FOR EACH ROW EXECUTE FUNCTION ledger.refuse('operations are append-only');
CREATE TRIGGER append_only_whole BEFORE TRUNCATE ON ledger.keyed_operations
    EXECUTE FUNCTION ledger.refuse('operations are append-only');
ALTER TABLE ledger.keyed_operations ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE ledger.keyed_operations ENABLE ALWAYS TRIGGER append_only_whole;

-- What is named outside of the ledger.
CREATE FUNCTION ledger.outside() RETURNS uuid
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
RETURN '00000000-0000-0000-0000-000000000000'::uuid;

-- Lock the account's book 0, say what is available (null: there is no such account), and look the key up: null, it is
-- new; empty, a repeat; else the fields that differ. The reason is text, and not part of the body.
CREATE FUNCTION ledger.look_up(p_asked ledger.keyed_operations, OUT available bigint, OUT differs text[])
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    known ledger.keyed_operations;
BEGIN
    SELECT available_micros INTO available FROM ledger.books
     WHERE account_id = p_asked.account_id AND shard = 0 FOR NO KEY UPDATE;
    SELECT * INTO known FROM ledger.keyed_operations WHERE (scope, key) = (p_asked.scope, p_asked.key);
    IF FOUND THEN
        SELECT coalesce(array_agg(replace(field, '_micros', '') ORDER BY field), '{}') INTO differs
          FROM jsonb_each(to_jsonb(known)) AS was (field, value)
          JOIN jsonb_each(jsonb_strip_nulls(to_jsonb(p_asked))) AS asked (field, value) USING (field)
         WHERE was.value <> asked.value
           AND field IN ('operation', 'account_id', 'amount_micros', 'work_id', 'try_number', 'payment_key',
                         'clawback_key', 'dispute', 'outcome', 'actor_one', 'actor_two');
    END IF;
END $$;

-- Write the operation down. False: another account has taken the key, the dispute or the clawback at this moment.
CREATE FUNCTION ledger.write_down(p_asked ledger.keyed_operations) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    p_asked.created_at := clock_timestamp();
    p_asked.taken_micros := coalesce(p_asked.taken_micros, 0);
    INSERT INTO ledger.keyed_operations SELECT p_asked.* ON CONFLICT DO NOTHING;
    RETURN FOUND;
END $$;

-- One leg of an operation with a key; nothing for nothing.
CREATE FUNCTION ledger.transfer(
    p_done ledger.keyed_operations, p_operation ledger.operation, p_debit ledger.account_kind,
    p_credit ledger.account_kind, p_amount_micros bigint
) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF p_amount_micros > 0 THEN
        INSERT INTO ledger.transfers (account_id, debit, credit, amount_micros, operation, key, cause)
        VALUES (p_done.account_id, p_debit, p_credit, p_amount_micros, p_operation, p_done.key, p_done.reason);
    END IF;
END $$;

-- What a payment still stands for: its grant less the clawbacks in force and the disputes that are open or lost
-- (INV-18). Null: it granted nothing to this account.
CREATE FUNCTION ledger.left_of_payment(p_account_id uuid, p_payment_key text) RETURNS bigint
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT given.amount_micros - (
               SELECT coalesce(sum(back.amount_micros), 0)::bigint
                 FROM ledger.keyed_operations AS back
                WHERE back.payment_key = p_payment_key
                  AND NOT EXISTS (SELECT FROM ledger.keyed_operations AS restored
                                   WHERE back.operation = 'claw_back' AND restored.clawback_key = back.key)
                  AND NOT EXISTS (SELECT FROM ledger.keyed_operations AS won
                                   WHERE back.operation = 'dispute_hold' AND won.dispute = back.dispute
                                     AND won.operation = 'dispute_end' AND won.outcome = 'restored'))
      FROM ledger.grants AS given
     WHERE given.key = p_payment_key AND given.account_id = p_account_id
$$;

-- Revenue to available: refunded | already_refunded | too_much | conflict | no_account.
CREATE FUNCTION ledger.refund_settled(
    p_account_id uuid, p_work_id uuid, p_try_number integer, p_amount_micros bigint, p_actor text, p_reason text,
    p_key text, OUT word text, OUT differs text[]
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    asked ledger.keyed_operations;
    available bigint;
    hold  ledger.holds;
BEGIN
    SELECT * INTO hold FROM ledger.holds
     WHERE (account_id, work_id, try_number) = (p_account_id, p_work_id, p_try_number) FOR NO KEY UPDATE;
    asked.scope := p_account_id;
    asked.key := p_key;
    asked.operation := 'refund';
    asked.account_id := p_account_id;
    asked.amount_micros := p_amount_micros;
    asked.work_id := p_work_id;
    asked.try_number := p_try_number;
    asked.actor_one := p_actor;
    asked.reason := p_reason;
    SELECT looked.available, looked.differs INTO available, differs FROM ledger.look_up(asked) AS looked;
    word := CASE
        WHEN available IS NULL THEN 'no_account'
        WHEN differs = '{}' THEN 'already_refunded'
        WHEN differs IS NOT NULL THEN 'conflict'
        WHEN hold.state IS DISTINCT FROM 'settled' THEN 'conflict'
        WHEN p_amount_micros > hold.settled_micros - hold.refunded_micros THEN 'too_much'
    END;
    IF word IS NOT NULL THEN
        differs := coalesce(differs, CASE WHEN word = 'conflict' THEN ARRAY['work_id'] ELSE '{}' END);
        RETURN;
    END IF;
    PERFORM ledger.write_down(asked);
    UPDATE ledger.holds SET refunded_micros = refunded_micros + p_amount_micros
     WHERE (account_id, work_id, try_number) = (p_account_id, p_work_id, p_try_number);
    INSERT INTO ledger.transfers
        (account_id, debit, credit, amount_micros, operation, work_id, try_number, key, cause, shard)
    VALUES (p_account_id, 'revenue', 'available', p_amount_micros, 'refund', p_work_id, p_try_number, p_key, p_reason,
            hold.shard);
    PERFORM ledger.repay(p_account_id, p_amount_micros, p_key);
    word := 'refunded';
    differs := '{}';
END $$;

-- Available, then debt, to clearing: clawed | partly_debt | already_clawed | conflict | no_account.
CREATE FUNCTION ledger.claw_back(
    p_account_id uuid, p_amount_micros bigint, p_payment_key text, p_key text, OUT word text, OUT differs text[]
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    asked      ledger.keyed_operations;
    available bigint;
    still_left bigint;
BEGIN
    asked.scope := ledger.outside();
    asked.key := p_key;
    asked.operation := 'claw_back';
    asked.account_id := p_account_id;
    asked.amount_micros := p_amount_micros;
    asked.payment_key := p_payment_key;
    SELECT looked.available, looked.differs INTO available, differs FROM ledger.look_up(asked) AS looked;
    still_left := ledger.left_of_payment(p_account_id, p_payment_key);
    IF differs IS NULL THEN
        differs := CASE WHEN still_left IS NULL THEN ARRAY['payment_key']
                        WHEN p_amount_micros > still_left THEN ARRAY['amount'] END;
    END IF;
    IF available IS NULL OR differs IS NOT NULL THEN
        word := CASE WHEN available IS NULL THEN 'no_account' WHEN differs = '{}' THEN 'already_clawed'
                     ELSE 'conflict' END;
        RETURN;
    END IF;
    asked.taken_micros := least(available, p_amount_micros);
    IF NOT ledger.write_down(asked) THEN
        word := 'conflict';
        differs := ARRAY['account_id'];
        RETURN;
    END IF;
    PERFORM ledger.transfer(asked, 'claw_back', 'available', 'clearing', asked.taken_micros);
    PERFORM ledger.transfer(asked, 'claw_back', 'debt', 'clearing', p_amount_micros - asked.taken_micros);
    word := CASE WHEN asked.taken_micros = p_amount_micros THEN 'clawed' ELSE 'partly_debt' END;
    differs := '{}';
END $$;

-- Clearing back to available, debt first: restored | already | conflict | no_account. A clawback is restored once.
CREATE FUNCTION ledger.restore_clawback(
    p_account_id uuid, p_clawback_key text, p_key text, OUT word text, OUT differs text[]
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    asked    ledger.keyed_operations;
    available bigint;
    clawback ledger.keyed_operations;
BEGIN
    SELECT * INTO clawback FROM ledger.keyed_operations
     WHERE (scope, key) = (ledger.outside(), p_clawback_key) AND operation = 'claw_back' AND account_id = p_account_id;
    asked.scope := ledger.outside();
    asked.key := p_key;
    asked.operation := 'restore_clawback';
    asked.account_id := p_account_id;
    asked.amount_micros := coalesce(clawback.amount_micros, 0);
    asked.clawback_key := p_clawback_key;
    SELECT looked.available, looked.differs INTO available, differs FROM ledger.look_up(asked) AS looked;
    IF differs IS NULL AND (clawback.key IS NULL OR EXISTS (
        SELECT FROM ledger.keyed_operations WHERE clawback_key = p_clawback_key))
    THEN
        differs := ARRAY['clawback_key'];
    END IF;
    IF available IS NULL OR differs IS NOT NULL THEN
        word := CASE WHEN available IS NULL THEN 'no_account' WHEN differs = '{}' THEN 'already'
                     ELSE 'conflict' END;
        RETURN;
    END IF;
    IF NOT ledger.write_down(asked) THEN
        word := 'conflict';
        differs := ARRAY['account_id'];
        RETURN;
    END IF;
    PERFORM ledger.transfer(asked, 'restore', 'clearing', 'available', asked.amount_micros);
    PERFORM ledger.repay(p_account_id, asked.amount_micros, p_key);
    word := 'restored';
    differs := '{}';
END $$;

-- Available to disputed, as far as it is there: held | already | conflict | no_account. A dispute that has ended before
-- it began changes nothing any more: already.
CREATE FUNCTION ledger.dispute_hold(
    p_account_id uuid, p_amount_micros bigint, p_dispute text, p_payment_key text, p_key text,
    OUT word text, OUT differs text[]
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    asked      ledger.keyed_operations;
    available bigint;
    still_left bigint;
BEGIN
    asked.scope := ledger.outside();
    asked.key := p_key;
    asked.operation := 'dispute_hold';
    asked.account_id := p_account_id;
    asked.amount_micros := p_amount_micros;
    asked.dispute := p_dispute;
    asked.payment_key := p_payment_key;
    SELECT looked.available, looked.differs INTO available, differs FROM ledger.look_up(asked) AS looked;
    still_left := ledger.left_of_payment(p_account_id, p_payment_key);
    IF differs IS NULL THEN
        differs := CASE
            WHEN EXISTS (SELECT FROM ledger.keyed_operations
                          WHERE dispute = p_dispute AND operation = 'dispute_hold') THEN ARRAY['key']
            WHEN EXISTS (SELECT FROM ledger.keyed_operations
                          WHERE dispute = p_dispute AND account_id <> p_account_id) THEN ARRAY['account_id']
            WHEN EXISTS (SELECT FROM ledger.keyed_operations WHERE dispute = p_dispute) THEN '{}'
            WHEN still_left IS NULL THEN ARRAY['payment_key']
            WHEN p_amount_micros > still_left THEN ARRAY['amount']
        END;
    END IF;
    IF available IS NULL OR differs IS NOT NULL THEN
        word := CASE WHEN available IS NULL THEN 'no_account' WHEN differs = '{}' THEN 'already'
                     ELSE 'conflict' END;
        RETURN;
    END IF;
    asked.taken_micros := least(available, p_amount_micros);
    IF NOT ledger.write_down(asked) THEN
        word := 'conflict';
        differs := ARRAY['account_id'];
        RETURN;
    END IF;
    PERFORM ledger.transfer(asked, 'dispute', 'available', 'disputed', asked.taken_micros);
    word := 'held';
    differs := '{}';
END $$;

-- Restored: disputed back to available. Lost: disputed to clearing, and what had been missing from available, then debt:
-- restored | lost | already | conflict | no_account. A loss needs the amount, and so the hold before it; the end of a
-- dispute that was never held may be recorded as restored.
CREATE FUNCTION ledger.dispute_end(
    p_account_id uuid, p_dispute text, p_outcome text, p_key text, OUT word text, OUT differs text[]
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    asked ledger.keyed_operations;
    begun ledger.keyed_operations;
    ended ledger.keyed_operations;
    available bigint;
    late  bigint;
BEGIN
    asked.scope := ledger.outside();
    asked.key := p_key;
    asked.operation := 'dispute_end';
    asked.account_id := p_account_id;
    asked.dispute := p_dispute;
    asked.outcome := p_outcome;
    SELECT looked.available, looked.differs INTO available, differs FROM ledger.look_up(asked) AS looked;
    SELECT * INTO begun FROM ledger.keyed_operations WHERE dispute = p_dispute AND operation = 'dispute_hold';
    SELECT * INTO ended FROM ledger.keyed_operations WHERE dispute = p_dispute AND operation = 'dispute_end';
    IF differs IS NULL THEN
        differs := CASE
            WHEN p_account_id <> ANY (ARRAY[begun.account_id, ended.account_id]) THEN ARRAY['account_id']
            WHEN ended.outcome = p_outcome THEN '{}'
            WHEN ended.outcome <> p_outcome THEN ARRAY['outcome']
            WHEN begun.key IS NULL AND p_outcome = 'lost' THEN ARRAY['dispute']
        END;
    END IF;
    IF available IS NULL OR differs IS NOT NULL THEN
        word := CASE WHEN available IS NULL THEN 'no_account' WHEN differs = '{}' THEN 'already'
                     ELSE 'conflict' END;
        RETURN;
    END IF;
    asked.amount_micros := coalesce(begun.amount_micros, 0);
    late := CASE WHEN p_outcome = 'lost' THEN begun.amount_micros - begun.taken_micros ELSE 0 END;
    asked.taken_micros := coalesce(begun.taken_micros, 0) + least(available, late);
    IF NOT ledger.write_down(asked) THEN
        word := 'conflict';
        differs := ARRAY['account_id'];
        RETURN;
    END IF;
    IF p_outcome = 'restored' THEN
        PERFORM ledger.transfer(asked, 'restore', 'disputed', 'available', asked.taken_micros);
        PERFORM ledger.repay(p_account_id, asked.taken_micros, p_key);
    ELSE
        PERFORM ledger.transfer(asked, 'lose', 'disputed', 'clearing', begun.taken_micros);
        PERFORM ledger.transfer(asked, 'lose', 'available', 'clearing', asked.taken_micros - begun.taken_micros);
        PERFORM ledger.transfer(asked, 'lose', 'debt', 'clearing', asked.amount_micros - asked.taken_micros);
    END IF;
    word := p_outcome;
    differs := '{}';
END $$;

-- By hand, with a sign: adjustment to available, or back; never below zero: adjusted | already | conflict | no_account.
CREATE FUNCTION ledger.adjust(
    p_account_id uuid, p_amount_micros bigint, p_actor_one text, p_actor_two text, p_reason text, p_key text,
    OUT word text, OUT differs text[]
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    asked ledger.keyed_operations;
    available bigint;
BEGIN
    asked.scope := p_account_id;
    asked.key := p_key;
    asked.operation := 'adjust';
    asked.account_id := p_account_id;
    asked.amount_micros := p_amount_micros;
    asked.actor_one := p_actor_one;
    asked.actor_two := p_actor_two;
    asked.reason := p_reason;
    SELECT looked.available, looked.differs INTO available, differs FROM ledger.look_up(asked) AS looked;
    IF differs IS NULL AND (p_amount_micros = 0 OR -p_amount_micros > available) THEN
        differs := ARRAY['amount'];
    END IF;
    IF available IS NULL OR differs IS NOT NULL THEN
        word := CASE WHEN available IS NULL THEN 'no_account' WHEN differs = '{}' THEN 'already'
                     ELSE 'conflict' END;
        RETURN;
    END IF;
    PERFORM ledger.write_down(asked);
    PERFORM ledger.transfer(asked, 'adjust', 'adjustment', 'available', p_amount_micros);
    PERFORM ledger.transfer(asked, 'adjust', 'available', 'adjustment', -p_amount_micros);
    IF p_amount_micros > 0 THEN
        PERFORM ledger.repay(p_account_id, p_amount_micros, p_key);
    END IF;
    word := 'adjusted';
    differs := '{}';
END $$;


-- 8. Reading.

-- What an account had at an instant, from its entries alone; zeros before the first of them. The entry number is that of
-- the available balance.
CREATE FUNCTION ledger.balance_at(
    p_account_id uuid, p_at timestamptz,
    OUT available bigint, OUT held bigint, OUT disputed bigint, OUT debt bigint, OUT entry_number bigint
)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(sum(balance_micros) FILTER (WHERE kind = 'available'), 0)::bigint,
           coalesce(sum(balance_micros) FILTER (WHERE kind = 'held'), 0)::bigint,
           coalesce(sum(balance_micros) FILTER (WHERE kind::text = 'disputed'), 0)::bigint,
           coalesce(-sum(balance_micros) FILTER (WHERE kind = 'debt'), 0)::bigint,
           coalesce(max(number) FILTER (WHERE kind = 'available'), 0)
      FROM (SELECT DISTINCT ON (kind, shard) kind, balance_micros, number
              FROM ledger.entries
             WHERE account_id = p_account_id AND created_at <= p_at
             ORDER BY kind, shard, number DESC) AS last_entry
$$;

-- Revenue less what the providers charge, by the day (UTC) on which the work or the attempt ended. An attempt that
-- failed, or was paid for twice, is a cost without revenue, at its own provider. What was refunded is not revenue, on the
-- day of the work. Records that retention has removed are not here any more.
CREATE VIEW ledger.margins AS
SELECT account_id, model, provider, day, sum(revenue_micros)::bigint AS revenue_micros,
       sum(cost_micros)::bigint AS cost_micros, (sum(revenue_micros) - sum(cost_micros))::bigint AS margin_micros
  FROM (
    SELECT generation.account_id, generation.model, generation.provider_used AS provider,
           (generation.completed_at AT TIME ZONE 'UTC')::date AS day,
           hold.settled_micros - hold.refunded_micros AS revenue_micros, 0 AS cost_micros
      FROM store.generations AS generation
      JOIN ledger.holds AS hold
        ON (hold.account_id, hold.work_id, hold.try_number) = (generation.account_id, generation.generation_id, 1)
     WHERE generation.status = 'succeeded'
    UNION ALL
    SELECT attempt.account_id, generation.model, attempt.provider, (attempt.ended_at AT TIME ZONE 'UTC')::date,
           0, attempt.cost_microcredits
      FROM store.attempts AS attempt JOIN store.generations AS generation USING (generation_id)
     WHERE attempt.ended_at IS NOT NULL
  ) AS booked
 GROUP BY account_id, model, provider, day;


-- 9. Who may do what. The operations run with the rights of the ledger's owner, so that the service needs none on its
-- tables: EXECUTE on what it calls and SELECT for what it reads are enough (docs/money.md lists them). Nobody else may
-- call anything.

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA ledger FROM PUBLIC;
