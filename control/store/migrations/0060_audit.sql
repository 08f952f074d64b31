-- +goose Up

-- Who did what to which resource. Rows are only ever added.
CREATE TABLE audit (
  id          TEXT NOT NULL PRIMARY KEY,
  moment      BIGINT NOT NULL,
  principal   TEXT NOT NULL, -- object ID
  name        TEXT NOT NULL, -- as it was known then
  action      TEXT NOT NULL,
  resource    TEXT NOT NULL,
  resource_key TEXT NOT NULL, -- in lower case
  outcome     TEXT NOT NULL,
  correlation TEXT NOT NULL,
  request     TEXT NOT NULL,
  client_request TEXT NOT NULL
);
CREATE INDEX audit_moment ON audit (moment);
CREATE INDEX audit_resource ON audit (resource_key, moment);
