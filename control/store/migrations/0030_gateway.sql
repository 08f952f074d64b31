-- +goose Up

-- key is the ID in lower case: paths of the resource API know no case.
CREATE TABLE gateway (
  key            TEXT PRIMARY KEY,
  subscription   TEXT NOT NULL, -- as written
  grp            TEXT NOT NULL, -- as written
  name           TEXT NOT NULL, -- as written
  subscription_key TEXT NOT NULL,
  grp_key        TEXT NOT NULL,
  name_key       TEXT NOT NULL,
  doc            TEXT NOT NULL, -- what clients said, JSON
  identity       TEXT NOT NULL, -- JSON
  regions        TEXT NOT NULL, -- names of service regions in the order of their numbers, JSON
  label          TEXT NOT NULL UNIQUE,
  etag           TEXT NOT NULL,
  state          TEXT NOT NULL, -- provisioningState
  status         TEXT NOT NULL, -- ChangePending, Complete
  operation      TEXT NOT NULL, -- the last one
  revision       BIGINT NOT NULL, -- published last
  edition        BIGINT NOT NULL, -- grows with every change of what is to be published
  advice         TEXT NOT NULL, -- records that zones above lack
  created        BIGINT NOT NULL,
  created_by     TEXT NOT NULL,
  created_kind   TEXT NOT NULL,
  changed        BIGINT NOT NULL,
  changed_by     TEXT NOT NULL,
  changed_kind   TEXT NOT NULL
);
CREATE INDEX gateway_in_scope ON gateway (subscription_key, key);

CREATE TABLE gateway_tag (
  gateway TEXT NOT NULL,
  tag_key TEXT NOT NULL, -- in lower case: names of tags know no case
  value   TEXT NOT NULL,
  PRIMARY KEY (gateway, tag_key)
);
CREATE INDEX gateway_tag_by_name ON gateway_tag (tag_key, gateway);

CREATE TABLE test_line (
  gateway      TEXT NOT NULL,
  name_key     TEXT NOT NULL,
  name         TEXT NOT NULL, -- as written
  location     TEXT NOT NULL,
  tags         TEXT NOT NULL, -- JSON
  phone        TEXT NOT NULL, -- as written
  number       TEXT NOT NULL, -- + and digits
  purpose      TEXT NOT NULL,
  etag         TEXT NOT NULL,
  created      BIGINT NOT NULL,
  created_by   TEXT NOT NULL,
  created_kind TEXT NOT NULL,
  changed      BIGINT NOT NULL,
  changed_by   TEXT NOT NULL,
  changed_kind TEXT NOT NULL,
  PRIMARY KEY (gateway, name_key)
);

CREATE TABLE integration_number (
  gateway TEXT NOT NULL,
  number  TEXT NOT NULL, -- + and digits
  phone   TEXT NOT NULL, -- as written
  service TEXT NOT NULL,
  PRIMARY KEY (gateway, number)
);

-- A node serves one gateway.
CREATE TABLE edge_assignment (
  node    TEXT PRIMARY KEY,
  gateway TEXT NOT NULL,
  region  TEXT NOT NULL
);
CREATE INDEX edge_assignment_by_gateway ON edge_assignment (gateway);

-- +goose Down
DROP TABLE edge_assignment;
DROP TABLE integration_number;
DROP TABLE test_line;
DROP TABLE gateway_tag;
DROP TABLE gateway;
