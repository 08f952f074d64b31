-- +goose Up

-- The procedures: one for each service of a gateway, which need not exist yet.
CREATE TABLE onboard (
  subject      TEXT PRIMARY KEY, -- gateway's key and service, in lower case
  subscription TEXT NOT NULL, -- as written
  grp          TEXT NOT NULL, -- as written
  gateway      TEXT NOT NULL, -- as written
  service      TEXT NOT NULL,
  track        TEXT NOT NULL,
  environment  TEXT NOT NULL, -- "": as the gateway's SKU says
  created      BIGINT NOT NULL,
  created_by   TEXT NOT NULL,
  looked       BIGINT NOT NULL -- when all of it was last looked at; 0: never
);

-- What has been seen of a step and done about it. The world decides; this is
-- memory.
CREATE TABLE onboard_step (
  subject  TEXT NOT NULL,
  step     TEXT NOT NULL,
  state    TEXT NOT NULL, -- when it was last looked at
  detail   TEXT NOT NULL,
  who      TEXT NOT NULL, -- acts next
  blocked  TEXT NOT NULL, -- by these steps, with blanks between them
  evidence TEXT NOT NULL, -- JSON
  done     BIGINT NOT NULL, -- when it was first seen done; 0: not
  done_by  TEXT NOT NULL,
  acting   BIGINT NOT NULL, -- an action began and nobody has seen its end; 0: none
  problem  TEXT NOT NULL, -- of the last action; "": none
  drifted  BIGINT NOT NULL, -- since when it is done no longer; 0: it is
  PRIMARY KEY (subject, step)
);

-- What was declared and learned. A scope is "" for the deployment, a gateway's
-- key, or a subject.
CREATE TABLE onboard_fact (
  scope TEXT NOT NULL,
  name  TEXT NOT NULL,
  value TEXT NOT NULL,
  said  BIGINT NOT NULL,
  who   TEXT NOT NULL,
  PRIMARY KEY (scope, name)
);

-- What was handed over to others.
CREATE TABLE onboard_handover (
  subject  TEXT NOT NULL,
  id       TEXT NOT NULL, -- the step, or step/key
  doc      TEXT NOT NULL, -- JSON, as it was sent; until then as it was last drafted
  state    TEXT NOT NULL,
  drafted  BIGINT NOT NULL,
  sent     BIGINT NOT NULL, -- 0: not
  sent_by  TEXT NOT NULL,
  waiting  BIGINT NOT NULL, -- when the answer was last looked for; 0: never
  answered BIGINT NOT NULL, -- 0: not
  answer   TEXT NOT NULL,
  PRIMARY KEY (subject, id)
);

-- What happened. Rows are only ever added.
CREATE TABLE onboard_event (
  subject TEXT NOT NULL,
  seq     BIGINT NOT NULL,
  moment  BIGINT NOT NULL,
  step    TEXT NOT NULL, -- "": the procedure
  what    TEXT NOT NULL,
  who     TEXT NOT NULL,
  detail  TEXT NOT NULL,
  PRIMARY KEY (subject, seq)
);

-- +goose Down
DROP TABLE onboard_event;
DROP TABLE onboard_handover;
DROP TABLE onboard_fact;
DROP TABLE onboard_step;
DROP TABLE onboard;
