-- +goose Up

-- What people sign in with, and what their signing in leaves behind. account is
-- the object ID of a user. Whatever is shown to us once more (a link, a cookie,
-- a code, a token) is kept as its SHA-256: it is random, so that is enough.
CREATE TABLE password (
  account TEXT NOT NULL PRIMARY KEY,
  hash    TEXT NOT NULL, -- argon2id
  changed BIGINT NOT NULL
);

-- A link that lets its bearer set a password, once.
CREATE TABLE invitation (
  hash    TEXT NOT NULL PRIMARY KEY,
  account TEXT NOT NULL,
  created BIGINT NOT NULL,
  ends    BIGINT NOT NULL
);
CREATE INDEX invitation_account ON invitation (account);

-- Second factors. content is the seed of TOTP or a credential of WebAuthn;
-- counter is the last time step used, or what the authenticator counts.
CREATE TABLE factor (
  id      TEXT NOT NULL PRIMARY KEY,
  account TEXT NOT NULL,
  kind    TEXT NOT NULL, -- "totp", "passkey"
  name    TEXT NOT NULL,
  content BYTEA NOT NULL,
  counter BIGINT NOT NULL,
  created BIGINT NOT NULL,
  used    BIGINT NOT NULL
);
CREATE INDEX factor_account ON factor (account);

-- Wrong passwords and wrong second factors. The key is a hash of what was tried,
-- whether it exists or not.
CREATE TABLE wrong (
  hash     TEXT NOT NULL PRIMARY KEY,
  failures BIGINT NOT NULL,
  moment   BIGINT NOT NULL, -- of the last
  until    BIGINT NOT NULL  -- held until then
);

-- Browsers in which somebody has signed in before: strangers who guess do not
-- lock them out.
CREATE TABLE browser (
  hash    TEXT NOT NULL PRIMARY KEY,
  account TEXT NOT NULL,
  ends    BIGINT NOT NULL
);
CREATE INDEX browser_account ON browser (account);

CREATE TABLE session (
  hash     TEXT NOT NULL PRIMARY KEY,
  account  TEXT NOT NULL,
  source   TEXT NOT NULL, -- address it was begun from
  created  BIGINT NOT NULL, -- when the password was shown
  used     BIGINT NOT NULL,
  ends     BIGINT NOT NULL,
  factor   TEXT NOT NULL, -- the second one that was shown; "": none yet
  proposed BYTEA NOT NULL -- a factor that is being added or asked for
);
CREATE INDEX session_account ON session (account);

-- A family is one person's permission for one program, from a code on through
-- all refresh tokens that replace each other.
CREATE TABLE family (
  id       TEXT NOT NULL PRIMARY KEY,
  account  TEXT NOT NULL,
  client   TEXT NOT NULL,
  scope    TEXT NOT NULL, -- of the code
  claims   TEXT NOT NULL, -- JSON: when and how the person signed in
  created  BIGINT NOT NULL,
  ends     BIGINT NOT NULL,
  revoked  TEXT NOT NULL -- why; "": it is good
);
CREATE INDEX family_account ON family (account);

CREATE TABLE authorization_code (
  hash      TEXT NOT NULL PRIMARY KEY,
  family    TEXT NOT NULL,
  redirect  TEXT NOT NULL,
  challenge TEXT NOT NULL, -- S256 of PKCE; "": none
  nonce     TEXT NOT NULL,
  ends      BIGINT NOT NULL,
  spent     BIGINT NOT NULL
);

CREATE TABLE refresh_token (
  hash    TEXT NOT NULL PRIMARY KEY,
  family  TEXT NOT NULL,
  ends    BIGINT NOT NULL,
  spent   BIGINT NOT NULL
);
CREATE INDEX refresh_token_family ON refresh_token (family);

CREATE TABLE device_code (
  hash      TEXT NOT NULL PRIMARY KEY,
  user_code TEXT NOT NULL UNIQUE, -- hash
  client    TEXT NOT NULL,
  scope     TEXT NOT NULL,
  source    TEXT NOT NULL, -- address that asked
  created   BIGINT NOT NULL,
  ends      BIGINT NOT NULL,
  asked     BIGINT NOT NULL, -- when it was asked for last
  pause     BIGINT NOT NULL, -- seconds between two questions
  state     TEXT NOT NULL, -- "waiting", "allowed", "declined"
  family    TEXT NOT NULL -- once allowed
);
