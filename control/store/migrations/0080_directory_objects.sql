-- +goose Up

-- Applications were those of the configuration alone, and it writes them anew
-- at each start.
DROP TABLE application_secret;
DROP TABLE application;

-- IDs are in lower case, and so is what is named *_key. Documents are JSON.
CREATE TABLE directory_user (
  id       TEXT NOT NULL PRIMARY KEY,
  tenant   TEXT NOT NULL,
  name     TEXT NOT NULL, -- as written: ann@telecom.example
  name_key TEXT NOT NULL,
  doc      TEXT NOT NULL,
  created  BIGINT NOT NULL
);
CREATE UNIQUE INDEX directory_user_name ON directory_user (tenant, name_key);

CREATE TABLE directory_group (
  id      TEXT NOT NULL PRIMARY KEY,
  tenant  TEXT NOT NULL,
  doc     TEXT NOT NULL,
  created BIGINT NOT NULL
);
CREATE INDEX directory_group_tenant ON directory_group (tenant);

CREATE TABLE directory_member (
  grp    TEXT NOT NULL,
  member TEXT NOT NULL,
  PRIMARY KEY (grp, member)
);
CREATE INDEX directory_member_of ON directory_member (member);

-- Who has which role over the directory itself.
CREATE TABLE directory_role (
  tenant  TEXT NOT NULL,
  role    TEXT NOT NULL,
  member  TEXT NOT NULL,
  created BIGINT NOT NULL,
  PRIMARY KEY (tenant, role, member)
);
CREATE INDEX directory_role_member ON directory_role (member);

CREATE TABLE application (
  id      TEXT NOT NULL PRIMARY KEY, -- of the registration
  tenant  TEXT NOT NULL,
  app     TEXT NOT NULL UNIQUE, -- the client ID
  fixed   BIGINT NOT NULL, -- 1: of the configuration
  doc     TEXT NOT NULL,
  created BIGINT NOT NULL
);
CREATE INDEX application_tenant ON application (tenant);

CREATE TABLE application_uri (
  tenant  TEXT NOT NULL,
  uri_key TEXT NOT NULL,
  app     TEXT NOT NULL,
  PRIMARY KEY (tenant, uri_key)
);
CREATE INDEX application_uri_app ON application_uri (app);

-- Secrets are kept as slow hashes only.
CREATE TABLE application_secret (
  id     TEXT NOT NULL PRIMARY KEY,
  app    TEXT NOT NULL,
  name   TEXT NOT NULL,
  hint   TEXT NOT NULL, -- the first three characters; empty: of the configuration
  hash   TEXT NOT NULL,
  begins BIGINT NOT NULL,
  ends   BIGINT NOT NULL -- 0: never
);
CREATE INDEX application_secret_app ON application_secret (app);

-- An application in a tenant; a managed identity has no registration.
CREATE TABLE service_principal (
  id       TEXT NOT NULL PRIMARY KEY,
  tenant   TEXT NOT NULL,
  app      TEXT NOT NULL,
  resource TEXT NOT NULL, -- key of the resource whose managed identity it is; empty: none
  doc      TEXT NOT NULL,
  created  BIGINT NOT NULL
);
CREATE UNIQUE INDEX service_principal_app ON service_principal (tenant, app);
CREATE INDEX service_principal_resource ON service_principal (resource);

CREATE TABLE app_role_assignment (
  id        TEXT NOT NULL PRIMARY KEY,
  tenant    TEXT NOT NULL,
  principal TEXT NOT NULL, -- user, group or service principal
  kind      TEXT NOT NULL,
  resource  TEXT NOT NULL, -- service principal
  role      TEXT NOT NULL,
  created   BIGINT NOT NULL
);
CREATE UNIQUE INDEX app_role_assignment_once ON app_role_assignment (principal, resource, role);
CREATE INDEX app_role_assignment_resource ON app_role_assignment (resource);

CREATE TABLE permission_grant (
  id        TEXT NOT NULL PRIMARY KEY,
  tenant    TEXT NOT NULL,
  client    TEXT NOT NULL, -- service principal
  consent   TEXT NOT NULL, -- AllPrincipals, Principal
  principal TEXT NOT NULL, -- user; empty: all
  resource  TEXT NOT NULL, -- service principal
  scope     TEXT NOT NULL, -- words
  created   BIGINT NOT NULL
);
CREATE UNIQUE INDEX permission_grant_once ON permission_grant (client, consent, principal, resource);
CREATE INDEX permission_grant_principal ON permission_grant (principal);
CREATE INDEX permission_grant_resource ON permission_grant (resource);

CREATE TABLE directory_domain (
  tenant    TEXT NOT NULL,
  name      TEXT NOT NULL, -- in lower case, without the last dot
  token     TEXT NOT NULL, -- what the TXT record must say
  verified  BIGINT NOT NULL, -- when; 0: not yet
  initial   BIGINT NOT NULL, -- 1: came with the tenant
  preferred BIGINT NOT NULL, -- 1: of new users
  created   BIGINT NOT NULL,
  PRIMARY KEY (tenant, name)
);
CREATE INDEX directory_domain_name ON directory_domain (name);

-- +goose Down
DROP TABLE directory_domain;
DROP TABLE permission_grant;
DROP TABLE app_role_assignment;
DROP TABLE service_principal;
DROP TABLE application_secret;
DROP TABLE application_uri;
DROP TABLE application;
DROP TABLE directory_role;
DROP TABLE directory_member;
DROP TABLE directory_group;
DROP TABLE directory_user;
