-- +goose Up

-- Whose procedure does something now: one at a time, whichever control node
-- carries it out.
CREATE TABLE onboard_turn (
  one    INTEGER PRIMARY KEY, -- 1
  holder TEXT NOT NULL,       -- subject; "" nobody
  ends   BIGINT NOT NULL      -- by then nothing is under way, even of a node that has died
);
INSERT INTO onboard_turn (one, holder, ends) VALUES (1, '', 0);

-- +goose Down
DROP TABLE onboard_turn;
