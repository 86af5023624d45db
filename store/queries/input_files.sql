-- name: announce
INSERT INTO store.input_files (key, generation_id) SELECT unnest(%(keys)s::text[]), %(generation_id)s::uuid;

-- name: due
-- Of generations that have ended, and of those that were never admitted and by now never will be; by key, after the
-- cursor, so that one that cannot be removed hides none behind it. The table holds what is in flight, and no more.
SELECT file.key
  FROM store.input_files AS file LEFT JOIN store.generations AS generation USING (generation_id)
 WHERE (%(after)s::text IS NULL OR file.key > %(after)s::text)
   AND (generation.completed_at IS NOT NULL
        OR generation.status IS NULL AND file.created_at < clock_timestamp() - %(never_admitted_after)s::interval)
 ORDER BY file.key
 LIMIT %(limit)s::bigint;

-- name: forget
DELETE FROM store.input_files WHERE key = ANY (%(keys)s::text[]);
