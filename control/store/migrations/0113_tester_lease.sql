-- +goose Up

-- Who has a gateway's test lines called now: one at a time, whichever control
-- node is asked.
CREATE TABLE test_lease (
  gateway TEXT PRIMARY KEY REFERENCES gateway (key) ON DELETE CASCADE,
  holder  TEXT NOT NULL,  -- ID of the first of the calls
  ends    BIGINT NOT NULL -- unless it is renewed; by then nothing is under way
);

-- +goose Down
DROP TABLE test_lease;
