-- Copies of customers' input files that are, or may be, in the object store. A row is written before its object and
-- removed after it, so that whatever crashes in between, no object is without a row. No reference to the generation:
-- the copy comes first, and the generation may never be admitted.

CREATE TABLE store.input_files (
    key            text PRIMARY KEY,
    generation_id  uuid NOT NULL,
    created_at     timestamptz NOT NULL DEFAULT clock_timestamp()
);
