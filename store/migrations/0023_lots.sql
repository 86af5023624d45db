-- Credits that expire, and the rate behind each payment's credits.
--
-- Sections: 1 types, 2 lots, 3 what is left of them, 4 credits in and credits burned, 5 payments, 6 who may do what.
--
-- Locks are taken in the order of before: generation, hold, the account's book 0, its book of the hold's shard. Lots come
-- after book 0.


-- 1. Types. The value cannot be a literal before the commit, except in bodies of functions, which are read later.

ALTER TYPE ledger.operation ADD VALUE 'burn';  -- what was left of a promotion when it expired

ALTER TABLE ledger.keyed_operations
    DROP CONSTRAINT keyed_operations_operation_check,
    ADD CONSTRAINT keyed_operations_operation_check CHECK (operation IN (
        'refund', 'claw_back', 'restore_clawback', 'dispute_hold', 'dispute_end', 'adjust', 'burn'));


-- 2. A lot is a grant that expires. What is left of it is not kept: section 3 derives it from the transfers, so that
-- neither a reservation nor a settlement knows of lots. Kept is what nobody could derive: its terms, and when its end was
-- booked, because until then it is spent from, however late that is.

CREATE TABLE ledger.lots (
    lot_id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    account_id      uuid NOT NULL,
    grant_key       text NOT NULL UNIQUE,
    granted_micros  bigint NOT NULL,
    granted_by      bigint NOT NULL,  -- the transfer: what came before it was not spent from it
    expires_at      timestamptz NOT NULL,
    ended_at        timestamptz,
    ended_after     bigint,           -- the account's last transfer when its end was booked
    closed_after    bigint,           -- and when nothing of it was held any more, so that nothing can come back
    burned_micros   bigint NOT NULL DEFAULT 0,
    burns           integer NOT NULL DEFAULT 0,
    UNIQUE (account_id, granted_by)
);

-- The way of the sweep: lots that end, and ended ones of which something may still come back.
CREATE INDEX lots_open ON ledger.lots (expires_at, account_id) WHERE closed_after IS NULL;

CREATE FUNCTION ledger.keep_the_rules_of_lots() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF (NEW.granted_micros BETWEEN 1 AND 1000000000000000 AND (NEW.burned_micros, NEW.burns) = (0, 0)
            AND NEW.ended_at IS NULL AND NEW.ended_after IS NULL AND NEW.closed_after IS NULL
            AND EXISTS (SELECT FROM ledger.grants
                         WHERE (key, account_id, amount_micros, source)
                             = (NEW.grant_key, NEW.account_id, NEW.granted_micros, 'promotion'))) IS NOT TRUE
        THEN
            RAISE EXCEPTION 'a lot is a promotion of the same account and amount' USING ERRCODE = 'check_violation';
        END IF;
    ELSIF (NEW.lot_id, NEW.account_id, NEW.grant_key, NEW.granted_micros, NEW.granted_by, NEW.expires_at)
           IS DISTINCT FROM
          (OLD.lot_id, OLD.account_id, OLD.grant_key, OLD.granted_micros, OLD.granted_by, OLD.expires_at)
          OR OLD.ended_at IS NOT NULL
             AND (NEW.ended_at, NEW.ended_after) IS DISTINCT FROM (OLD.ended_at, OLD.ended_after)
          OR OLD.closed_after IS NOT NULL
    THEN
        RAISE EXCEPTION 'the terms of a lot are fixed, and it ends once' USING ERRCODE = 'restrict_violation';
    ELSIF ((NEW.ended_at IS NULL) = (NEW.ended_after IS NULL)
           AND (NEW.ended_at IS NOT NULL
                OR (NEW.burned_micros, NEW.burns) = (0, 0) AND NEW.closed_after IS NULL)
           AND NEW.burned_micros BETWEEN OLD.burned_micros AND NEW.granted_micros) IS NOT TRUE
    THEN
        RAISE EXCEPTION 'the parts of a lot do not add up' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER rules AFTER INSERT OR UPDATE ON ledger.lots
    FOR EACH ROW EXECUTE FUNCTION ledger.keep_the_rules_of_lots();
CREATE TRIGGER never_removed BEFORE DELETE ON ledger.lots
    FOR EACH ROW EXECUTE FUNCTION ledger.refuse('lots are kept');
CREATE TRIGGER never_removed_whole BEFORE TRUNCATE ON ledger.lots
    EXECUTE FUNCTION ledger.refuse('lots are kept');
ALTER TABLE ledger.lots ENABLE ALWAYS TRIGGER rules;
ALTER TABLE ledger.lots ENABLE ALWAYS TRIGGER never_removed;
ALTER TABLE ledger.lots ENABLE ALWAYS TRIGGER never_removed_whole;


-- 3. What is left of an account's lots, and what is held of them: the movements of its available balance, told again in
-- their order.
--
--   a lot begins with its grant, less the debt that this paid at once
--   what is spent comes from the lot that expires first, of several the oldest; from what does not expire, last
--   what a hold gives back, it gives back to where it came from: what it took last, first. To a lot that has ended since
--   it gives back only what the customer canceled; the rest was no fault of theirs, and does not expire any more
--   what is taken otherwise (clawbacks, disputes, adjustments) comes from what does not expire, then from the lot that
--   expires last
--   whatever else comes in does not expire: payments, refunds, restored disputes, adjustments
--
-- So what is left of all lots is never more than what is available. Lots that were closed before the others began are not
-- among the answers: nothing is left of them, and they cannot change the others.
CREATE FUNCTION ledger.left_of_lots(p_account_id uuid)
RETURNS TABLE (lot_id uuid, left_micros bigint, held_micros bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    since   bigint;  -- the first transfer that matters
    earlier bigint;
    ids     uuid[];         -- of the lots, in the order in which they are spent; the next three are in that order, too
    begun   bigint[];
    ended   bigint[];
    still   bigint[];       -- what is left
    took    bigint[];       -- of each hold that may give back: what it took from no lot, and then from each
    base    integer;        -- where those of the hold at hand begin
    moved   record;
    fresh   integer;        -- the lot whose grant was the movement before this one
    rest    bigint;
    part    bigint;
    i       integer;
BEGIN
    LOOP  -- back to where no lot was open
        SELECT min(granted_by) INTO earlier FROM ledger.lots
         WHERE account_id = p_account_id AND (closed_after IS NULL OR closed_after >= since);
        EXIT WHEN earlier IS NOT DISTINCT FROM since;
        since := earlier;
    END LOOP;
    SELECT array_agg(lot_id), array_agg(granted_by), array_agg(ended_after), array_agg(0::bigint)
      INTO ids, begun, ended, still
      FROM (SELECT * FROM ledger.lots WHERE account_id = p_account_id AND granted_by >= since
             ORDER BY expires_at, granted_by) AS lot;
    FOR moved IN
        SELECT *, max(nth) OVER (PARTITION BY work_id, try_number) AS place
          FROM (SELECT *, CASE WHEN may_give THEN count(*) FILTER (WHERE may_give) OVER (ORDER BY transfer_id) END AS nth
                  FROM (SELECT transfer_id, operation::text AS operation, debit = 'available' AS is_taken,
                               amount_micros AS amount, debit_balance_micros AS left_available, key,
                               cause IS NOT DISTINCT FROM 'canceled' AS is_canceled, work_id, try_number,
                               operation = 'reserve' AND (
                                   SELECT hold.state = 'held' OR hold.released_micros > 0 OR hold.corrected_at IS NOT NULL
                                     FROM ledger.holds AS hold
                                    WHERE (hold.account_id, hold.work_id, hold.try_number)
                                        = (transfer.account_id, transfer.work_id, transfer.try_number)) AS may_give
                          FROM ledger.transfers AS transfer
                         WHERE account_id = p_account_id AND transfer_id >= since AND 'available' IN (debit, credit)
                        OFFSET 0  -- so that each hold is looked up once
                       ) AS movement) AS numbered
         ORDER BY transfer_id
    LOOP
        rest := moved.amount;
        base := (moved.place - 1) * (cardinality(still) + 1) + 1;
        IF moved.operation = 'grant' THEN
            fresh := array_position(begun, moved.transfer_id);
            IF fresh IS NOT NULL THEN
                still[fresh] := rest;
            END IF;
            CONTINUE;
        ELSIF moved.operation = 'repay' AND fresh IS NOT NULL THEN
            still[fresh] := still[fresh] - rest;
        ELSIF moved.operation IN ('reserve', 'recollect') THEN
            FOR i IN 1 .. cardinality(still) LOOP
                part := least(rest, still[i]);
                still[i] := still[i] - part;
                rest := rest - part;
                IF moved.operation = 'reserve' AND base IS NOT NULL THEN
                    took[base + i] := part;
                END IF;
            END LOOP;
            IF moved.operation = 'reserve' AND base IS NOT NULL THEN
                took[base] := rest;
            END IF;
        ELSIF moved.operation IN ('release', 'expire') AND base IS NOT NULL THEN
            rest := rest - least(rest, took[base]);
            FOR i IN REVERSE cardinality(still) .. 1 LOOP
                part := least(rest, took[base + i]);
                took[base + i] := 0;
                rest := rest - part;
                IF moved.is_canceled OR coalesce(ended[i] >= moved.transfer_id, true) THEN
                    still[i] := still[i] + part;
                END IF;
            END LOOP;
        ELSIF moved.operation = 'burn' THEN
            i := array_position(ids, split_part(moved.key, ':', 2)::uuid);
            still[i] := still[i] - rest;
        ELSIF moved.is_taken THEN
            rest := (SELECT sum(each) FROM unnest(still) AS each) - moved.left_available;
            FOR i IN REVERSE cardinality(still) .. 1 LOOP
                part := least(greatest(rest, 0), still[i]);
                still[i] := still[i] - part;
                rest := rest - part;
            END LOOP;
        END IF;
        fresh := NULL;
    END LOOP;
    RETURN QUERY
    SELECT lot.id, still[lot.place],
           (SELECT coalesce(sum(took[first_one + lot.place]), 0)::bigint
              FROM generate_series(1, cardinality(took), cardinality(still) + 1) AS first_one)
      FROM unnest(ids) WITH ORDINALITY AS lot (id, place);
END $$;


-- 4. Credits in and credits burned.

-- As before, with one route more: `burn`.
CREATE OR REPLACE FUNCTION ledger.apply_rarer_transfer(p_asked ledger.transfers) RETURNS ledger.transfers
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
            WHEN 'burn'      THEN transfer.debit = 'available'  AND transfer.credit = 'promotion'
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

-- As before, of credits that may expire: granted | already_granted | conflict | no_account.
CREATE FUNCTION ledger.grant_until(
    p_account_id uuid, p_amount_micros bigint, p_source ledger.account_kind, p_key text, p_note text,
    p_expires_at timestamptz, OUT word text, OUT differs text[]
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    first_one ledger.grants;
    given_by  bigint;
    expiry    timestamptz;
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
        VALUES (p_account_id, p_source, 'available', p_amount_micros, 'grant', p_key, p_note)
        RETURNING transfer_id INTO given_by;
        IF p_expires_at IS NOT NULL THEN
            INSERT INTO ledger.lots (account_id, grant_key, granted_micros, granted_by, expires_at)
            VALUES (p_account_id, p_key, p_amount_micros, given_by, p_expires_at);
        END IF;
        PERFORM ledger.repay(p_account_id, p_amount_micros, p_key);
        word := 'granted';
        RETURN;
    END IF;
    SELECT * INTO STRICT first_one FROM ledger.grants WHERE key = p_key;
    SELECT expires_at INTO expiry FROM ledger.lots WHERE grant_key = p_key;
    differs := array_remove(ARRAY[
        CASE WHEN first_one.account_id <> p_account_id THEN 'account_id' END,
        CASE WHEN first_one.amount_micros <> p_amount_micros THEN 'amount' END,
        CASE WHEN first_one.source <> p_source THEN 'source' END,
        CASE WHEN expiry IS DISTINCT FROM p_expires_at THEN 'expires_at' END
    ], NULL);
    word := CASE WHEN differs = '{}' THEN 'already_granted' ELSE 'conflict' END;
END $$;

CREATE OR REPLACE FUNCTION ledger.grant_credits(
    p_account_id uuid, p_amount_micros bigint, p_source ledger.account_kind, p_key text, p_note text,
    OUT word text, OUT differs text[]
)
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT word, differs
      FROM ledger.grant_until(p_account_id, p_amount_micros, p_source, p_key, p_note, NULL::timestamptz)
$$;

-- Book the end of the account's lots that have expired by then, and burn what is left of these and of those that ended
-- before: available to promotion. What was burned now; repeated, nothing.
CREATE FUNCTION ledger.expire_lots(p_account_id uuid, p_by timestamptz) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    asked  ledger.keyed_operations;
    lot    record;
    latest bigint;
    burned bigint := 0;
BEGIN
    PERFORM FROM ledger.books WHERE account_id = p_account_id AND shard = 0 FOR NO KEY UPDATE;
    SELECT max(transfer_id) INTO latest FROM ledger.transfers WHERE account_id = p_account_id;
    FOR lot IN
        SELECT ending.lot_id, ending.burns, now.left_micros, now.held_micros
          FROM ledger.lots AS ending JOIN ledger.left_of_lots(p_account_id) AS now USING (lot_id)
         WHERE ending.closed_after IS NULL
           AND CASE WHEN ending.ended_at IS NULL THEN ending.expires_at <= p_by
                    ELSE now.left_micros > 0 OR now.held_micros = 0 END
         ORDER BY ending.expires_at, ending.granted_by
    LOOP
        IF lot.left_micros > 0 THEN
            asked.scope := p_account_id;
            asked.key := 'lot:' || lot.lot_id || ':expired'
                || CASE WHEN lot.burns > 0 THEN ':' || lot.burns + 1 ELSE '' END;
            asked.operation := 'burn';
            asked.account_id := p_account_id;
            asked.amount_micros := lot.left_micros;
            asked.taken_micros := lot.left_micros;
            IF NOT ledger.write_down(asked) THEN
                RAISE EXCEPTION 'the key % is taken', asked.key USING ERRCODE = 'integrity_constraint_violation';
            END IF;
            PERFORM ledger.transfer(asked, 'burn', 'available', 'promotion', lot.left_micros);
            burned := burned + lot.left_micros;
        END IF;
        UPDATE ledger.lots
           SET ended_at = coalesce(ended_at, clock_timestamp()), ended_after = coalesce(ended_after, latest),
               closed_after = CASE WHEN lot.held_micros = 0 THEN latest END,
               burned_micros = burned_micros + lot.left_micros,
               burns = burns + CASE WHEN lot.left_micros > 0 THEN 1 ELSE 0 END
         WHERE lot_id = lot.lot_id;
    END LOOP;
    RETURN burned;
END $$;


-- 5. Money of other units ends where a grant is computed. Here is how: what was paid, in which currency, at which rate;
-- `fixed_micros` is what prices with a number of credits of their own brought. Before 0023 it was not kept.
CREATE TABLE store.stripe_conversions (
    key            text PRIMARY KEY REFERENCES store.stripe_effects,  -- of the grant
    currency       text NOT NULL CHECK (currency ~ '^[a-z]{3}$'),
    decimals       smallint NOT NULL CHECK (decimals BETWEEN 0 AND 6),  -- of its minor unit
    unit_micros    bigint NOT NULL CHECK (unit_micros > 0),  -- the rate: micro-credits for one whole unit
    paid_minor     bigint NOT NULL,
    value_minor    bigint NOT NULL,  -- what of that, without tax, was worth credits by the rate
    fixed_micros   bigint NOT NULL CHECK (fixed_micros >= 0),
    offers         jsonb NOT NULL   -- what brought those, and how many of it: {"pack-10": 1}
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON store.stripe_conversions
    FOR EACH ROW EXECUTE FUNCTION ledger.refuse('conversions are append-only');


-- 6. Who may do what: as in 0018, nobody but the owner until it is granted.

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA ledger FROM PUBLIC;
