-- +goose Up

-- Codes that stand in for a second factor that was lost, each once: those that
-- were used are gone. They are random, so that a keyed SHA-256 is enough.
CREATE TABLE recovery_code (
  hash    TEXT NOT NULL PRIMARY KEY,
  account TEXT NOT NULL,
  created BIGINT NOT NULL
);
CREATE INDEX recovery_code_account ON recovery_code (account);
