-- +goose Up

-- Where something came from, and lines that stand for several of a kind: a flood
-- of wrong passwords is a few lines, each with how many and until when.
ALTER TABLE audit ADD COLUMN source TEXT NOT NULL DEFAULT ''; -- address; "": not told
ALTER TABLE audit ADD COLUMN times BIGINT NOT NULL DEFAULT 1;
ALTER TABLE audit ADD COLUMN latest BIGINT NOT NULL DEFAULT 0; -- moment of the last; moment is of the first
ALTER TABLE audit ADD COLUMN fold TEXT; -- what they have in common; NULL: it stands for itself
CREATE UNIQUE INDEX audit_fold ON audit (fold);
