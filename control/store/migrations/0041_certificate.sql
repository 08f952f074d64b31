-- +goose Up
CREATE TABLE certificate (
	node     TEXT PRIMARY KEY, -- the edge that shows it, and keeps its key
	names    TEXT NOT NULL,    -- that it is to bear, one a line
	state    TEXT NOT NULL,
	request  TEXT NOT NULL,    -- PEM, to be signed; empty: none under way
	chain    TEXT NOT NULL,    -- PEM, signed and not yet on the edge; empty: none
	begins   BIGINT NOT NULL,  -- of what the edge shows; 0: nothing
	ends     BIGINT NOT NULL,
	attempts BIGINT NOT NULL,  -- that failed since the last success
	problem  TEXT NOT NULL,    -- of the last one
	due      BIGINT NOT NULL,  -- when to look next
	lease    BIGINT NOT NULL,  -- until when a control node is at it
	changed  BIGINT NOT NULL
);
