-- +goose Up

-- What the edges of each gateway are to run. Revisions of all gateways are one
-- sequence, so that a node which changes gateways never goes back.
CREATE TABLE publication (
  gateway   TEXT PRIMARY KEY,
  id        TEXT NOT NULL, -- as written
  revision  BIGINT NOT NULL,
  digest    TEXT NOT NULL, -- of nodes and snapshot without its revision
  snapshot  TEXT NOT NULL, -- JSON
  published BIGINT NOT NULL
);

-- What each node is to run: no gateway means that it was withdrawn from.
CREATE TABLE publication_node (
  node     TEXT PRIMARY KEY,
  gateway  TEXT NOT NULL,
  revision BIGINT NOT NULL
);

CREATE TABLE publication_revision (
  one  BIGINT PRIMARY KEY,
  last BIGINT NOT NULL
);
INSERT INTO publication_revision (one, last) VALUES (1, 0);

-- +goose Down
DROP TABLE publication_revision;
DROP TABLE publication_node;
DROP TABLE publication;
