-- +goose Up
CREATE TABLE rotation (
	name     TEXT PRIMARY KEY, -- "<vault>/<secret>", in lower case
	app      TEXT NOT NULL,    -- client ID of the registration
	vault    TEXT NOT NULL,    -- resource ID
	secret   TEXT NOT NULL,    -- name within the vault
	life     BIGINT NOT NULL,  -- of a secret, in microseconds
	ahead    BIGINT NOT NULL,  -- of its end, when the next one is made
	overlap  BIGINT NOT NULL,  -- how long the one before is good as well
	key_id   TEXT NOT NULL,    -- that the vault holds the value of; empty: not known yet
	ends     BIGINT NOT NULL,
	renews   BIGINT NOT NULL,  -- when the next one is made
	rotated  BIGINT NOT NULL,  -- when this one was
	making   TEXT NOT NULL,    -- name of the one under way; empty: none is
	old      TEXT NOT NULL,    -- key IDs to be revoked, one a line
	revokes  BIGINT NOT NULL,  -- and when
	asked    BOOLEAN NOT NULL, -- somebody wants another one now
	warned   BIGINT NOT NULL,  -- how urgently its end was told of
	attempts BIGINT NOT NULL,  -- that failed since the last success
	problem  TEXT NOT NULL,    -- of the last one
	due      BIGINT NOT NULL,  -- when to look next
	lease    BIGINT NOT NULL,  -- until when a control node is at it
	changed  BIGINT NOT NULL
);
