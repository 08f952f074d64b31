-- +goose Up
CREATE TABLE operation (
	id TEXT NOT NULL PRIMARY KEY,
	kind TEXT NOT NULL,
	resource TEXT NOT NULL,
	actor TEXT NOT NULL,
	args TEXT NOT NULL,
	status TEXT NOT NULL,
	problem TEXT NOT NULL,
	step BIGINT NOT NULL,
	steps TEXT NOT NULL,
	cancel TEXT NOT NULL,
	due BIGINT NOT NULL,
	lease TEXT NOT NULL,
	lease_until BIGINT NOT NULL,
	created BIGINT NOT NULL,
	started BIGINT NOT NULL,
	ended BIGINT NOT NULL
);
CREATE INDEX operation_resource ON operation (resource, created);
CREATE INDEX operation_due ON operation (ended, due);
