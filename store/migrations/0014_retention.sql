-- What a retention sweep walks, at a cost that grows with what is due and not with what is kept, and what it removes.

ALTER TABLE store.generations  -- what has not ended may still be given files
    ADD CONSTRAINT removed_means_ended CHECK (files_removed_at IS NULL OR completed_at IS NOT NULL);

-- An ended generation is in the first while something may be stored for it, and from then on in the second: a record
-- goes after its files.
CREATE INDEX generations_with_files ON store.generations (account_id, completed_at)
    WHERE completed_at IS NOT NULL AND files_removed_at IS NULL;
CREATE INDEX generations_without_files ON store.generations (account_id, completed_at)
    WHERE files_removed_at IS NOT NULL;

CREATE INDEX webhook_deliveries_ended ON store.webhook_deliveries (account_id, ended_at) WHERE ended_at IS NOT NULL;

-- A delivery may outlive the record that it tells of, and goes on naming it.
ALTER TABLE store.webhook_deliveries DROP CONSTRAINT webhook_deliveries_generation_id_fkey;


-- Delete the records of an account that ended longer ago than this and have no files any more, with their attempts and
-- assets; what usage counts of them is kept. Answers how many, at most the limit. The ledger is not touched.
CREATE FUNCTION store.purge_generations(p_account_id uuid, p_age interval, p_limit integer) RETURNS integer
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    due uuid[];
BEGIN
    due := ARRAY(
        SELECT generation_id FROM store.generations
         WHERE account_id = p_account_id AND files_removed_at IS NOT NULL AND completed_at < now() - p_age
         ORDER BY completed_at
         LIMIT p_limit
           FOR UPDATE SKIP LOCKED);  -- what a customer is deleting right now is left to the next sweep
    PERFORM store.archive_usage(due);
    DELETE FROM store.assets WHERE generation_id = ANY (due);
    DELETE FROM store.attempts WHERE generation_id = ANY (due);
    DELETE FROM store.generations WHERE generation_id = ANY (due);
    RETURN cardinality(due);
END $$;
