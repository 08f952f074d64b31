-- +goose Up

-- Names of vaults are host names: in lower case, unique in the deployment,
-- those of deleted vaults among them until they are purged.
CREATE TABLE vault (
  name_key         TEXT PRIMARY KEY,
  id               TEXT NOT NULL UNIQUE, -- of this vault, and of none that has its name later
  subscription     TEXT NOT NULL, -- as written
  grp              TEXT NOT NULL, -- as written
  name             TEXT NOT NULL, -- as written
  subscription_key TEXT NOT NULL,
  grp_key          TEXT NOT NULL,
  doc              TEXT NOT NULL, -- JSON
  data_key         BYTEA NOT NULL, -- wrapped
  deleted          BIGINT NOT NULL, -- 0: it is there
  purge            BIGINT NOT NULL, -- when it goes for good
  created          BIGINT NOT NULL,
  created_by       TEXT NOT NULL,
  created_kind     TEXT NOT NULL,
  changed          BIGINT NOT NULL,
  changed_by       TEXT NOT NULL,
  changed_kind     TEXT NOT NULL
);
CREATE INDEX vault_in_scope ON vault (subscription_key, name_key);

CREATE TABLE vault_secret (
  vault    TEXT NOT NULL, -- vault.id
  name_key TEXT NOT NULL, -- in lower case: names know no case
  name     TEXT NOT NULL, -- as first written
  latest   BIGINT NOT NULL, -- seq of the version that counts
  deleted  BIGINT NOT NULL, -- 0: it is there
  purge    BIGINT NOT NULL, -- when it goes for good
  PRIMARY KEY (vault, name_key)
);

CREATE TABLE vault_version (
  vault    TEXT NOT NULL,
  name_key TEXT NOT NULL,
  seq      BIGINT NOT NULL, -- grows with each version of a secret
  version  TEXT NOT NULL, -- 32 hex digits
  doc      TEXT NOT NULL, -- attributes, JSON: nothing secret
  sealed   BYTEA NOT NULL, -- the value, under the vault's data key
  created  BIGINT NOT NULL,
  updated  BIGINT NOT NULL,
  PRIMARY KEY (vault, name_key, seq)
);
CREATE UNIQUE INDEX vault_version_by_name ON vault_version (vault, name_key, version);

-- One row: known bytes under the key that wraps the others, so that a node
-- with another key is told so at its start.
CREATE TABLE vault_seal (
  id      BIGINT PRIMARY KEY,
  wrapped BYTEA NOT NULL
);

-- +goose Down
DROP TABLE vault_seal;
DROP TABLE vault_version;
DROP TABLE vault_secret;
DROP TABLE vault;
