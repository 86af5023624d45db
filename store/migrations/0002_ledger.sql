-- The credit ledger: accounts, transfers between them, and holds. Amounts are whole micro-credits.
--
-- Every movement is one row of ledger.transfers: one account is debited, another credited, by the same amount, so a
-- transfer sums to zero by its shape (INV-3). Both sides belong to the same tenant, because a transfer has one
-- account_id (INV-23) and because no row is then shared by all tenants. Balances are moved by the insertion of a
-- transfer and by nothing else (INV-4).
--
-- Locks are taken in this order, everywhere: generation, hold, ledger accounts in the order of account_kind.

CREATE SCHEMA ledger;

CREATE TYPE ledger.account_kind AS ENUM (
    'available',   -- what the tenant may spend
    'held',        -- taken out for work under way
    'revenue',     -- settled: ours
    'debt',        -- delivered without cover; zero or below
    'payment', 'promotion', 'adjustment'  -- sources: facts outside of the ledger; money enters from them only (INV-7)
);

CREATE TYPE ledger.operation AS ENUM (
    'reserve', 'settle', 'release', 'expire',
    'recollect',   -- a late success takes again what a release had given back
    'shortfall',   -- and what it could not take becomes debt
    'grant'
);

CREATE TYPE ledger.hold_state AS ENUM ('held', 'settled', 'released', 'expired');

-- Rules of the three tables that every movement writes are checked by triggers where they need more than a comparison:
-- a CHECK is read and compiled anew by each statement, a trigger once per session, and that was half of the time.

CREATE TABLE ledger.accounts (
    account_id      uuid NOT NULL,
    kind            ledger.account_kind NOT NULL,
    balance_micros  bigint NOT NULL DEFAULT 0,
    entry_count     bigint NOT NULL DEFAULT 0,
    floor_micros    bigint NOT NULL,  -- by kind; zero where nothing may be overdrawn (INV-1, INV-2)
    ceiling_micros  bigint NOT NULL,
    PRIMARY KEY (account_id, kind),
    CONSTRAINT balance_within_limits CHECK (balance_micros BETWEEN floor_micros AND ceiling_micros)
) WITH (fillfactor = 25);  -- small rows that change all the time: leave room for updates within the page

CREATE TABLE ledger.transfers (
    transfer_id           bigint NOT NULL,  -- rises in commit order within each account
    amount_micros         bigint NOT NULL,
    debit_number          bigint NOT NULL,  -- gapless per account, like credit_number (INV-20)
    debit_balance_micros  bigint NOT NULL,  -- the account's balance after this entry
    credit_number         bigint NOT NULL,
    credit_balance_micros bigint NOT NULL,
    created_at            timestamptz NOT NULL,
    debit                 ledger.account_kind NOT NULL,
    credit                ledger.account_kind NOT NULL,
    operation             ledger.operation NOT NULL,
    try_number            integer,
    account_id            uuid NOT NULL,
    work_id               uuid,
    key                   text,
    cause                 text,
    PRIMARY KEY (account_id, transfer_id)
);

-- No hold is reserved, settled, released or corrected twice; also the way from a hold to its transfers. There is no
-- foreign key to the hold on purpose: it would write a lock into a row that the same transaction has just written.
CREATE UNIQUE INDEX transfers_once_per_hold ON ledger.transfers (account_id, work_id, try_number, operation)
    WHERE work_id IS NOT NULL;

CREATE SEQUENCE ledger.transfer_ids;

CREATE TABLE ledger.holds (
    amount_micros     bigint NOT NULL,
    settled_micros    bigint NOT NULL DEFAULT 0,
    released_micros   bigint NOT NULL DEFAULT 0,
    shortfall_micros  bigint NOT NULL DEFAULT 0,  -- the part of settled_micros that became debt
    opened_at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at        timestamptz NOT NULL,
    ended_at          timestamptz,
    corrected_at      timestamptz,  -- a late success replaced the end by a settlement
    state             ledger.hold_state NOT NULL DEFAULT 'held',
    try_number        integer NOT NULL,
    account_id        uuid NOT NULL,
    work_id           uuid NOT NULL,
    price_version     text NOT NULL,
    reason            text,
    PRIMARY KEY (account_id, work_id, try_number)  -- INV-9
);

-- The sweeper's way: its cost grows with the open holds, not with history.
CREATE INDEX holds_open ON ledger.holds (expires_at) WHERE state = 'held';

CREATE TABLE ledger.grants (
    key            text PRIMARY KEY CHECK (octet_length(key) BETWEEN 1 AND 255),  -- in the whole ledger (INV-14)
    account_id     uuid NOT NULL,
    amount_micros  bigint NOT NULL CHECK (amount_micros BETWEEN 1 AND 1000000000000000),
    source         ledger.account_kind NOT NULL CHECK (source IN ('payment', 'promotion', 'adjustment')),
    note           text CHECK (length(note) <= 500),
    created_at     timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Each transfer as its two signed entries.
CREATE VIEW ledger.entries AS
SELECT account_id, debit AS kind, debit_number AS number, -amount_micros AS amount_micros,
       debit_balance_micros AS balance_micros, transfer_id, operation, work_id, try_number, key, cause, created_at
  FROM ledger.transfers
UNION ALL
SELECT account_id, credit, credit_number, amount_micros,
       credit_balance_micros, transfer_id, operation, work_id, try_number, key, cause, created_at
  FROM ledger.transfers;


-- A transfer moves both balances, in the fixed order, and receives its numbers, its balances and its time while both
-- rows are locked. A transfer that the available balance does not cover is not inserted: zero rows, nothing changed. One
-- that no operation makes is an error.
CREATE FUNCTION ledger.apply_transfer() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF (NEW.amount_micros BETWEEN 1 AND 1000000000000000
        AND CASE NEW.operation  -- each has its route; money enters from a source only (INV-7)
                WHEN 'reserve'   THEN NEW.debit = 'available' AND NEW.credit = 'held'
                WHEN 'settle'    THEN NEW.debit = 'held'      AND NEW.credit = 'revenue'
                WHEN 'release'   THEN NEW.debit = 'held'      AND NEW.credit = 'available'
                WHEN 'expire'    THEN NEW.debit = 'held'      AND NEW.credit = 'available'
                WHEN 'recollect' THEN NEW.debit = 'available' AND NEW.credit = 'revenue'
                WHEN 'shortfall' THEN NEW.debit = 'debt'      AND NEW.credit = 'revenue'
                WHEN 'grant'     THEN NEW.debit IN ('payment', 'promotion', 'adjustment') AND NEW.credit = 'available'
            END
        AND (NEW.operation = 'grant') = (NEW.work_id IS NULL)
        AND (NEW.work_id IS NULL) = (NEW.try_number IS NULL)
        AND (NEW.key IS NULL OR octet_length(NEW.key) BETWEEN 1 AND 255)
    ) IS NOT TRUE THEN
        RAISE EXCEPTION 'no operation makes this transfer' USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.debit < NEW.credit THEN
        UPDATE ledger.accounts
           SET balance_micros = balance_micros - NEW.amount_micros, entry_count = entry_count + 1
         WHERE account_id = NEW.account_id AND kind = NEW.debit
           AND (kind <> 'available' OR balance_micros >= NEW.amount_micros)
        RETURNING balance_micros, entry_count INTO NEW.debit_balance_micros, NEW.debit_number;
        IF NOT FOUND AND NEW.debit = 'available' THEN
            RETURN NULL;
        END IF;
    END IF;
    UPDATE ledger.accounts
       SET balance_micros = balance_micros + NEW.amount_micros, entry_count = entry_count + 1
     WHERE account_id = NEW.account_id AND kind = NEW.credit
    RETURNING balance_micros, entry_count INTO NEW.credit_balance_micros, NEW.credit_number;
    IF NEW.debit > NEW.credit THEN
        UPDATE ledger.accounts
           SET balance_micros = balance_micros - NEW.amount_micros, entry_count = entry_count + 1
         WHERE account_id = NEW.account_id AND kind = NEW.debit
        RETURNING balance_micros, entry_count INTO NEW.debit_balance_micros, NEW.debit_number;
    END IF;
    NEW.transfer_id := nextval('ledger.transfer_ids');
    NEW.created_at := clock_timestamp();
    RETURN NEW;  -- a missing account leaves its numbers null, and NOT NULL refuses the transfer
END $$;

CREATE TRIGGER apply_transfer BEFORE INSERT ON ledger.transfers
    FOR EACH ROW EXECUTE FUNCTION ledger.apply_transfer();
ALTER TABLE ledger.transfers ENABLE ALWAYS TRIGGER apply_transfer;


-- What must not happen is refused by a trigger, for every role: owners and migrations included (INV-19). Where updates
-- are frequent the trigger comes AFTER: one before an update locks the row first, and writes that lock to the log.
CREATE FUNCTION ledger.refuse() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION '% of %.% is refused: %', TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME, TG_ARGV[0]
        USING ERRCODE = 'restrict_violation';
END $$;

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON ledger.transfers
    FOR EACH ROW EXECUTE FUNCTION ledger.refuse('transfers are append-only');
CREATE TRIGGER append_only_whole BEFORE TRUNCATE ON ledger.transfers
    EXECUTE FUNCTION ledger.refuse('transfers are append-only');
ALTER TABLE ledger.transfers ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE ledger.transfers ENABLE ALWAYS TRIGGER append_only_whole;

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON ledger.grants
    FOR EACH ROW EXECUTE FUNCTION ledger.refuse('grants are append-only');
CREATE TRIGGER append_only_whole BEFORE TRUNCATE ON ledger.grants
    EXECUTE FUNCTION ledger.refuse('grants are append-only');
ALTER TABLE ledger.grants ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE ledger.grants ENABLE ALWAYS TRIGGER append_only_whole;

-- Depth 0 is a statement of its own; a transfer's trigger runs at depth 1.
CREATE TRIGGER moved_by_transfers AFTER UPDATE ON ledger.accounts
    FOR EACH ROW WHEN (pg_trigger_depth() = 0)
    EXECUTE FUNCTION ledger.refuse('a balance moves by a transfer only');
CREATE TRIGGER never_removed BEFORE DELETE ON ledger.accounts
    FOR EACH ROW EXECUTE FUNCTION ledger.refuse('ledger accounts are kept');
CREATE TRIGGER never_removed_whole BEFORE TRUNCATE ON ledger.accounts
    EXECUTE FUNCTION ledger.refuse('ledger accounts are kept');
ALTER TABLE ledger.accounts ENABLE ALWAYS TRIGGER moved_by_transfers;
ALTER TABLE ledger.accounts ENABLE ALWAYS TRIGGER never_removed;
ALTER TABLE ledger.accounts ENABLE ALWAYS TRIGGER never_removed_whole;

-- An account begins empty, within the limits of its kind. The limits themselves can never be changed by hand.
CREATE FUNCTION ledger.open_account() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    most CONSTANT bigint := 9000000000000000000;
BEGIN
    IF NEW.balance_micros <> 0 OR NEW.entry_count <> 0 THEN
        RAISE EXCEPTION 'a ledger account begins empty' USING ERRCODE = 'restrict_violation';
    END IF;
    NEW.floor_micros := CASE WHEN NEW.kind IN ('available', 'held', 'revenue') THEN 0 ELSE -most END;
    NEW.ceiling_micros := CASE WHEN NEW.kind IN ('debt', 'payment', 'promotion') THEN 0 ELSE most END;
    RETURN NEW;
END $$;

CREATE TRIGGER opened_empty BEFORE INSERT ON ledger.accounts
    FOR EACH ROW EXECUTE FUNCTION ledger.open_account();
ALTER TABLE ledger.accounts ENABLE ALWAYS TRIGGER opened_empty;

-- The life of a hold: it begins held, its terms are fixed, it ends once, in parts that add up (INV-11); and one
-- correction of that end by a late success (INV-8).
CREATE FUNCTION ledger.keep_the_rules_of_holds() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND (
        OLD.account_id <> NEW.account_id OR OLD.work_id <> NEW.work_id OR OLD.try_number <> NEW.try_number
        OR OLD.amount_micros <> NEW.amount_micros OR OLD.price_version <> NEW.price_version
        OR OLD.opened_at <> NEW.opened_at OR OLD.expires_at <> NEW.expires_at
        OR NOT (
            (OLD.state = 'held' AND NEW.state <> 'held' AND NEW.corrected_at IS NULL)
            OR (OLD.state IN ('released', 'expired') AND NEW.state = 'settled' AND NEW.corrected_at IS NOT NULL)))
    THEN
        RAISE EXCEPTION 'a hold ends once, and its terms are fixed' USING ERRCODE = 'restrict_violation';
    END IF;
    IF (CASE
            WHEN TG_OP = 'INSERT' THEN
                NEW.state = 'held' AND NEW.settled_micros = 0 AND NEW.released_micros = 0 AND NEW.shortfall_micros = 0
                AND NEW.ended_at IS NULL AND NEW.corrected_at IS NULL AND NEW.try_number >= 1
                AND NEW.amount_micros BETWEEN 0 AND 1000000000000000
            ELSE
                NEW.ended_at IS NOT NULL AND NEW.settled_micros >= 0 AND NEW.released_micros >= 0
                AND NEW.settled_micros + NEW.released_micros = NEW.amount_micros
                AND (NEW.state = 'settled' OR NEW.settled_micros = 0)
                AND NEW.shortfall_micros BETWEEN 0
                    AND CASE WHEN NEW.corrected_at IS NULL THEN 0 ELSE NEW.settled_micros END
        END
    ) IS NOT TRUE THEN
        RAISE EXCEPTION 'the parts of a hold do not add up' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER rules AFTER INSERT OR UPDATE ON ledger.holds
    FOR EACH ROW EXECUTE FUNCTION ledger.keep_the_rules_of_holds();
CREATE TRIGGER never_removed_whole BEFORE TRUNCATE ON ledger.holds
    EXECUTE FUNCTION ledger.refuse('holds are kept');
ALTER TABLE ledger.holds ENABLE ALWAYS TRIGGER rules;
ALTER TABLE ledger.holds ENABLE ALWAYS TRIGGER never_removed_whole;

-- Only a reservation takes a hold back, in the transaction that could not cover it: then it has moved nothing.
CREATE FUNCTION ledger.refuse_removal_of_a_hold() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF OLD.state <> 'held' OR OLD.amount_micros = 0 OR EXISTS (
        SELECT FROM ledger.transfers AS moved
         WHERE (moved.account_id, moved.work_id, moved.try_number) = (OLD.account_id, OLD.work_id, OLD.try_number))
    THEN
        RAISE EXCEPTION 'DELETE of ledger.holds is refused: holds are kept' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN OLD;
END $$;

CREATE TRIGGER never_removed BEFORE DELETE ON ledger.holds
    FOR EACH ROW EXECUTE FUNCTION ledger.refuse_removal_of_a_hold();
ALTER TABLE ledger.holds ENABLE ALWAYS TRIGGER never_removed;


-- Every account has its ledger accounts from its first moment.
CREATE FUNCTION ledger.open_accounts() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO ledger.accounts (account_id, kind)
    SELECT NEW.account_id, kind FROM unnest(enum_range(NULL::ledger.account_kind)) AS kind;
    RETURN NULL;
END $$;

CREATE TRIGGER open_ledger AFTER INSERT ON store.accounts
    FOR EACH ROW EXECUTE FUNCTION ledger.open_accounts();
