-- +goose Up

-- Keys are in lower case: paths of the resource API know no case.
CREATE TABLE resource_group (
  subscription_key TEXT NOT NULL,
  name_key         TEXT NOT NULL,
  name             TEXT NOT NULL, -- as written
  location         TEXT NOT NULL,
  managed_by       TEXT NOT NULL,
  tags             TEXT NOT NULL, -- JSON
  state            TEXT NOT NULL, -- provisioningState
  created          BIGINT NOT NULL,
  changed          BIGINT NOT NULL,
  PRIMARY KEY (subscription_key, name_key)
);

-- What the configuration gives stands there and not here.
CREATE TABLE role_assignment (
  id             TEXT NOT NULL PRIMARY KEY,
  scope          TEXT NOT NULL,
  principal      TEXT NOT NULL,
  principal_type TEXT NOT NULL,
  role           TEXT NOT NULL,
  created        BIGINT NOT NULL,
  created_by     TEXT NOT NULL
);
CREATE INDEX role_assignment_principal ON role_assignment (principal);
