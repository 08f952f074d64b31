-- +goose Up

-- What the edges of each gateway are to run. Revisions of all gateways are one
-- sequence, so that a node which changes gateways never goes back.
CREATE TABLE publication (
  gateway   TEXT PRIMARY KEY,
  revision  BIGINT NOT NULL,
  digest    TEXT NOT NULL, -- of the snapshot without its revision
  nodes     TEXT NOT NULL, -- JSON
  snapshot  TEXT NOT NULL, -- JSON
  published BIGINT NOT NULL
);

CREATE TABLE publication_revision (
  one  BIGINT PRIMARY KEY,
  last BIGINT NOT NULL
);
INSERT INTO publication_revision (one, last) VALUES (1, 0);

-- +goose Down
DROP TABLE publication_revision;
DROP TABLE publication;
