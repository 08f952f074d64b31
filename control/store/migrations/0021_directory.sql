-- +goose Up

-- Keys that sign tokens. One signs from active until the next one does, and is
-- published from created until nothing it signed is good any more.
CREATE TABLE signing_key (
  id      TEXT NOT NULL PRIMARY KEY,
  private BYTEA NOT NULL, -- PKCS #8
  created BIGINT NOT NULL,
  active  BIGINT NOT NULL
);

CREATE TABLE application (
  id      TEXT NOT NULL PRIMARY KEY, -- the client ID
  object  TEXT NOT NULL,
  name    TEXT NOT NULL,
  created BIGINT NOT NULL
);

-- Secrets are kept as slow hashes only.
CREATE TABLE application_secret (
  id          TEXT NOT NULL PRIMARY KEY,
  application TEXT NOT NULL,
  hash        TEXT NOT NULL,
  created     BIGINT NOT NULL,
  ends        BIGINT NOT NULL
);
CREATE INDEX application_secret_application ON application_secret (application);
