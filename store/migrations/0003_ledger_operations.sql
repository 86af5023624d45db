-- The operations of the ledger: the only way in which the service moves credits. Each answers a word, and repeated with
-- the same arguments it changes nothing more.

-- Available to held: held | already_held | insufficient | conflict | closed | frozen | no_account.
CREATE FUNCTION ledger.reserve(
    p_account_id uuid, p_work_id uuid, p_try_number integer, p_amount_micros bigint,
    p_price_version text, p_expires_at timestamptz, p_key text DEFAULT NULL
) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    is_frozen boolean;
    hold      ledger.holds;
BEGIN
    SELECT frozen_at IS NOT NULL INTO is_frozen FROM store.accounts WHERE account_id = p_account_id;
    IF NOT FOUND THEN
        RETURN 'no_account';
    END IF;
    IF NOT is_frozen THEN
        INSERT INTO ledger.holds (account_id, work_id, try_number, amount_micros, price_version, expires_at)
        VALUES (p_account_id, p_work_id, p_try_number, p_amount_micros, p_price_version, p_expires_at)
        ON CONFLICT DO NOTHING;
        IF FOUND THEN
            IF p_amount_micros = 0 THEN
                RETURN 'held';
            END IF;
            INSERT INTO ledger.transfers
                (account_id, debit, credit, amount_micros, operation, work_id, try_number, key)
            VALUES (p_account_id, 'available', 'held', p_amount_micros, 'reserve', p_work_id, p_try_number, p_key);
            IF FOUND THEN
                RETURN 'held';
            END IF;
            DELETE FROM ledger.holds
             WHERE (account_id, work_id, try_number) = (p_account_id, p_work_id, p_try_number);
            RETURN 'insufficient';
        END IF;
    END IF;
    SELECT * INTO hold FROM ledger.holds
     WHERE (account_id, work_id, try_number) = (p_account_id, p_work_id, p_try_number);
    IF NOT FOUND THEN
        RETURN 'frozen';
    END IF;
    RETURN CASE
        WHEN hold.state <> 'held' THEN 'closed'
        WHEN (hold.amount_micros, hold.price_version) = (p_amount_micros, p_price_version) THEN 'already_held'
        ELSE 'conflict'
    END;
END $$;


-- A late success: takes again what the release gave back, as far as it is there, and books the rest as debt. The caller
-- has locked the hold and knows that it was released.
CREATE FUNCTION ledger.recollect(
    p_account_id uuid, p_work_id uuid, p_try_number integer, p_amount_micros bigint
) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    taken bigint;
BEGIN
    SELECT least(balance_micros, p_amount_micros) INTO STRICT taken FROM ledger.accounts
     WHERE account_id = p_account_id AND kind = 'available' FOR NO KEY UPDATE;
    UPDATE ledger.holds
       SET state = 'settled', settled_micros = p_amount_micros, released_micros = amount_micros - p_amount_micros,
           shortfall_micros = p_amount_micros - taken, corrected_at = clock_timestamp()
     WHERE (account_id, work_id, try_number) = (p_account_id, p_work_id, p_try_number);
    IF taken > 0 THEN
        INSERT INTO ledger.transfers (account_id, debit, credit, amount_micros, operation, work_id, try_number)
        VALUES (p_account_id, 'available', 'revenue', taken, 'recollect', p_work_id, p_try_number);
        IF NOT FOUND THEN  -- impossible while the balance is locked
            RAISE EXCEPTION 'the balance changed under a lock' USING ERRCODE = 'integrity_constraint_violation';
        END IF;
    END IF;
    IF taken = p_amount_micros THEN
        RETURN 'recollected';
    END IF;
    INSERT INTO ledger.transfers (account_id, debit, credit, amount_micros, operation, work_id, try_number)
    VALUES (p_account_id, 'debt', 'revenue', p_amount_micros - taken, 'shortfall', p_work_id, p_try_number);
    RETURN 'shortfall';
END $$;


-- Held to revenue, the remainder back to available:
-- settled | already_settled | recollected | shortfall | no_hold | conflict.
CREATE FUNCTION ledger.settle(
    p_account_id uuid, p_work_id uuid, p_try_number integer, p_amount_micros bigint
) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    remainder bigint;
    hold      ledger.holds;
BEGIN
    UPDATE ledger.holds
       SET state = 'settled', settled_micros = p_amount_micros, released_micros = amount_micros - p_amount_micros,
           ended_at = clock_timestamp()
     WHERE (account_id, work_id, try_number) = (p_account_id, p_work_id, p_try_number)
       AND state = 'held' AND amount_micros >= p_amount_micros
    RETURNING released_micros INTO remainder;
    IF FOUND THEN
        IF remainder > 0 THEN  -- first, because available comes before revenue in the order of locks
            INSERT INTO ledger.transfers (account_id, debit, credit, amount_micros, operation, work_id, try_number)
            VALUES (p_account_id, 'held', 'available', remainder, 'release', p_work_id, p_try_number);
        END IF;
        IF p_amount_micros > 0 THEN
            INSERT INTO ledger.transfers (account_id, debit, credit, amount_micros, operation, work_id, try_number)
            VALUES (p_account_id, 'held', 'revenue', p_amount_micros, 'settle', p_work_id, p_try_number);
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
    RETURN ledger.recollect(p_account_id, p_work_id, p_try_number, p_amount_micros);
END $$;


-- Held back to available: released | already_released | already_settled | no_hold. The reason 'expired' is the sweeper's.
CREATE FUNCTION ledger.release(
    p_account_id uuid, p_work_id uuid, p_try_number integer, p_reason text
) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    expiring  CONSTANT boolean := p_reason = 'expired';
    amount    bigint;
    end_state ledger.hold_state;
BEGIN
    UPDATE ledger.holds
       SET state = CASE WHEN expiring THEN 'expired' ELSE 'released' END::ledger.hold_state,
           released_micros = amount_micros, ended_at = clock_timestamp(), reason = p_reason
     WHERE (account_id, work_id, try_number) = (p_account_id, p_work_id, p_try_number) AND state = 'held'
    RETURNING amount_micros INTO amount;
    IF FOUND THEN
        IF amount > 0 THEN
            INSERT INTO ledger.transfers
                (account_id, debit, credit, amount_micros, operation, work_id, try_number, cause)
            VALUES (p_account_id, 'held', 'available', amount,
                    CASE WHEN expiring THEN 'expire' ELSE 'release' END::ledger.operation,
                    p_work_id, p_try_number, p_reason);
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


-- Source to available: granted | already_granted | conflict | no_account. The key is unique in the whole ledger, so that
-- a payment routed to two accounts counts once. `differs` names what a conflict is about. A note is not part of the body.
CREATE FUNCTION ledger.grant_credits(
    p_account_id uuid, p_amount_micros bigint, p_source ledger.account_kind, p_key text, p_note text,
    OUT word text, OUT differs text[]
)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
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
