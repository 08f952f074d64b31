-- +goose Up

-- When a gateway's test lines are called by schedule.
CREATE TABLE test_plan (
  gateway TEXT PRIMARY KEY REFERENCES gateway (key) ON DELETE CASCADE,
  doc     TEXT NOT NULL,  -- JSON
  next    BIGINT NOT NULL -- when the next call is due; who moves it places that call
);
CREATE INDEX test_plan_next ON test_plan (next);

CREATE TABLE test_call (
  id       TEXT PRIMARY KEY,
  gateway  TEXT NOT NULL REFERENCES gateway (key) ON DELETE CASCADE,
  line_key TEXT NOT NULL, -- in lower case
  moment   BIGINT NOT NULL,
  body     TEXT NOT NULL -- JSON
);
CREATE INDEX test_call_of_line ON test_call (gateway, line_key, moment);
CREATE INDEX test_call_moment ON test_call (moment);

-- +goose Down
DROP TABLE test_call;
DROP TABLE test_plan;
