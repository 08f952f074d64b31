-- +goose Up

-- A refresh token that comes twice within a moment is answered with the same
-- successor, once: an answer may have been lost. The successor is made of the
-- token and the nonce, so that neither row tells it.
ALTER TABLE refresh_token ADD COLUMN nonce TEXT NOT NULL DEFAULT ''; -- while its successor can be told again
ALTER TABLE refresh_token ADD COLUMN twice BIGINT NOT NULL DEFAULT 0; -- when it was told a second time: two may have it
