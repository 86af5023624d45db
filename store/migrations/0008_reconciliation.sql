-- What the reconciliation walks, oldest first, at a cost that grows with what is open and not with history.

CREATE INDEX generations_unended ON store.generations (created_at, generation_id) WHERE completed_at IS NULL;
