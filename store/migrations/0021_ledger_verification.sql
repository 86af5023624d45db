-- What the scheduled proof of the ledger found, run by run: operators read the latest.

CREATE TABLE ledger.verifications (
    verification_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    began_at         timestamptz NOT NULL,
    seconds          double precision NOT NULL,
    entries          bigint NOT NULL,
    holds            bigint NOT NULL,
    grants           bigint NOT NULL,
    generations      bigint NOT NULL,
    violations       text[] NOT NULL  -- the first of each kind, in the order of the passes; empty: the books balance
);
