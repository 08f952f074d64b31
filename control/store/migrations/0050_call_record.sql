-- +goose Up

-- The calls of all nodes, each as its node wrote it down last.
CREATE TABLE call_record (
  id          TEXT NOT NULL PRIMARY KEY,
  node        TEXT NOT NULL,
  region      TEXT NOT NULL,
  gateway     TEXT NOT NULL,
  service     TEXT NOT NULL,
  account     TEXT NOT NULL,
  stage       BIGINT NOT NULL, -- 0 begun, 1 answered, 2 finished
  began       BIGINT NOT NULL,
  caller      TEXT NOT NULL,
  callee      TEXT NOT NULL,
  caller_peer TEXT NOT NULL,
  callee_peer TEXT NOT NULL,
  failed      BIGINT NOT NULL, -- 1: it did, for a reason that is no user's decision
  body        TEXT NOT NULL    -- the call as JSON
);
CREATE INDEX call_record_began ON call_record (began);
CREATE INDEX call_record_caller ON call_record (caller, began);
CREATE INDEX call_record_callee ON call_record (callee, began);
CREATE INDEX call_record_gateway ON call_record (gateway, began);
