-- The way to recent attempts. By their beginning, which does not change: an index by their end would make each end of an
-- attempt write into every index of the table.
CREATE INDEX attempts_recent ON store.attempts (begun_at);
