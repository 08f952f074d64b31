-- +goose Up
CREATE TABLE zone_gateway (
	base  TEXT PRIMARY KEY,
	facts TEXT NOT NULL -- JSON, as last known
);
CREATE TABLE zone_text (
	name    TEXT NOT NULL, -- canonical
	value   TEXT NOT NULL,
	created BIGINT NOT NULL,
	PRIMARY KEY (name, value)
);
CREATE TABLE zone_serial (
	apex   TEXT PRIMARY KEY,
	serial BIGINT NOT NULL,
	digest TEXT NOT NULL -- of what the zone held under this serial
);
CREATE TABLE zone_key (
	apex    TEXT PRIMARY KEY,
	private TEXT NOT NULL, -- PEM, ECDSA P-256
	created BIGINT NOT NULL
);
CREATE TABLE zone_version (
	id      BIGINT PRIMARY KEY, -- 1
	version BIGINT NOT NULL
);
INSERT INTO zone_version (id, version) VALUES (1, 0);
