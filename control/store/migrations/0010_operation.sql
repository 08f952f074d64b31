-- +goose Up
CREATE TABLE operation (
	id TEXT NOT NULL PRIMARY KEY,
	kind TEXT NOT NULL,
	resource TEXT NOT NULL,
	actor TEXT NOT NULL,
	args TEXT NOT NULL,    -- JSON
	status TEXT NOT NULL,
	steps TEXT NOT NULL,   -- JSON, one object a step
	problem TEXT NOT NULL, -- JSON; empty while nothing is wrong
	stop TEXT NOT NULL,    -- why it shall stop; empty while nobody asked
	lease TEXT NOT NULL,   -- the worker that runs a step now; empty: none
	due BIGINT NOT NULL,   -- not before
	created BIGINT NOT NULL,
	started BIGINT NOT NULL,
	ended BIGINT NOT NULL
);
CREATE INDEX operation_resource ON operation (resource, created);
CREATE INDEX operation_open ON operation (resource, ended);
CREATE INDEX operation_due ON operation (ended, due);

-- One row a running process. Whose beat stands still is dead.
CREATE TABLE operation_worker (
	id TEXT NOT NULL PRIMARY KEY,
	beat BIGINT NOT NULL
);
