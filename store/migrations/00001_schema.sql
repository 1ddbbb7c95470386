-- One text for PostgreSQL and SQLite. Times are microseconds since 1970 UTC, 0 means never or
-- not yet. The organization leads every key that can bear it.

-- +goose Up
CREATE TABLE store_incarnation (
    only_row    BOOLEAN NOT NULL PRIMARY KEY CHECK (only_row),
    incarnation UUID    NOT NULL,
    create_time BIGINT  NOT NULL
);

CREATE TABLE organizations (
    id                      UUID    NOT NULL PRIMARY KEY,
    display_name            TEXT    NOT NULL,
    platform                BOOLEAN NOT NULL DEFAULT FALSE,
    suspended               BOOLEAN NOT NULL DEFAULT FALSE,
    password_policy         TEXT    NOT NULL DEFAULT 'standard',
    change_initial_password BOOLEAN NOT NULL DEFAULT TRUE,
    epoch                   BIGINT  NOT NULL,
    version                 BIGINT  NOT NULL DEFAULT 1,
    create_time             BIGINT  NOT NULL,
    update_time             BIGINT  NOT NULL,
    created_by              TEXT    NOT NULL DEFAULT ''
);
CREATE UNIQUE INDEX organizations__platform ON organizations (platform) WHERE platform;

-- The lock of an organization, the number of its last event, and its badges.
CREATE TABLE organization_clock (
    organization_id UUID   NOT NULL PRIMARY KEY REFERENCES organizations (id),
    event_seq       BIGINT NOT NULL DEFAULT 0,
    users_active    BIGINT NOT NULL DEFAULT 0,
    users_pending   BIGINT NOT NULL DEFAULT 0,
    users_disabled  BIGINT NOT NULL DEFAULT 0,
    accounts_active BIGINT NOT NULL DEFAULT 0,
    accounts_total  BIGINT NOT NULL DEFAULT 0
);

-- Where a thing is that is asked for without its organization: confirmed e-mail
-- addresses, client ids, sessions, one-time links.
CREATE TABLE directory (
    kind            TEXT NOT NULL,
    key             TEXT NOT NULL,
    organization_id UUID NOT NULL REFERENCES organizations (id),
    id              UUID NOT NULL,
    PRIMARY KEY (kind, key)
);

CREATE TABLE users (
    organization_id   UUID    NOT NULL REFERENCES organizations (id),
    id                UUID    NOT NULL,
    email             TEXT    NOT NULL,
    email_key         TEXT    NOT NULL,
    first_name        TEXT    NOT NULL,
    last_name         TEXT    NOT NULL,
    display_name      TEXT    NOT NULL,
    name_key          TEXT    NOT NULL,
    confirmed         BOOLEAN NOT NULL,
    enabled           BOOLEAN NOT NULL,
    password_hash     TEXT    NOT NULL DEFAULT '',
    password_initial  BOOLEAN NOT NULL DEFAULT FALSE,
    phone_sealed      BYTEA,
    phone_masked      TEXT    NOT NULL DEFAULT '',
    phone_verified    BOOLEAN NOT NULL DEFAULT FALSE,
    epoch             BIGINT  NOT NULL,
    version           BIGINT  NOT NULL DEFAULT 1,
    create_time       BIGINT  NOT NULL,
    update_time       BIGINT  NOT NULL,
    created_by        TEXT    NOT NULL DEFAULT '',
    last_sign_in_time BIGINT  NOT NULL DEFAULT 0,
    delete_time       BIGINT  NOT NULL DEFAULT 0,
    PRIMARY KEY (organization_id, id)
);
-- A deleted user's address stays reserved until it is purged.
CREATE UNIQUE INDEX users__email_key ON users (organization_id, email_key);
CREATE INDEX users__name ON users (organization_id, name_key, id) WHERE delete_time = 0;
CREATE INDEX users__create_time ON users (organization_id, create_time, id) WHERE delete_time = 0;

CREATE TABLE permissions (
    key         TEXT   NOT NULL PRIMARY KEY,
    area        TEXT   NOT NULL,
    name        TEXT   NOT NULL,
    description TEXT   NOT NULL,
    stage       TEXT   NOT NULL DEFAULT 'STABLE',
    create_time BIGINT NOT NULL DEFAULT 0
);

-- Built-in roles belong to the organization 00000000-0000-0000-0000-000000000000.
CREATE TABLE roles (
    organization_id UUID    NOT NULL,
    id              UUID    NOT NULL,
    name            TEXT    NOT NULL,
    name_key        TEXT    NOT NULL,
    description     TEXT    NOT NULL,
    everything      BOOLEAN NOT NULL DEFAULT FALSE,
    platform_only   BOOLEAN NOT NULL DEFAULT FALSE,
    version         BIGINT  NOT NULL DEFAULT 1,
    create_time     BIGINT  NOT NULL DEFAULT 0,
    update_time     BIGINT  NOT NULL DEFAULT 0,
    created_by      TEXT    NOT NULL DEFAULT '',
    PRIMARY KEY (organization_id, id)
);
CREATE UNIQUE INDEX roles__name_key ON roles (organization_id, name_key);

CREATE TABLE role_permissions (
    organization_id UUID NOT NULL,
    role_id         UUID NOT NULL,
    permission_key  TEXT NOT NULL,
    PRIMARY KEY (organization_id, role_id, permission_key),
    FOREIGN KEY (organization_id, role_id) REFERENCES roles (organization_id, id) ON DELETE CASCADE
);

-- A sub-role may be built-in or of the same organization.
CREATE TABLE sub_roles (
    organization_id UUID NOT NULL,
    role_id         UUID NOT NULL,
    sub_role_id     UUID NOT NULL,
    PRIMARY KEY (organization_id, role_id, sub_role_id),
    FOREIGN KEY (organization_id, role_id) REFERENCES roles (organization_id, id) ON DELETE CASCADE
);

-- Either role_id or permission_key is set.
CREATE TABLE grants (
    organization_id UUID   NOT NULL REFERENCES organizations (id),
    principal_id    UUID   NOT NULL,
    role_id         TEXT   NOT NULL DEFAULT '',
    permission_key  TEXT   NOT NULL DEFAULT '',
    expire_time     BIGINT NOT NULL DEFAULT 0,
    create_time     BIGINT NOT NULL,
    created_by      TEXT   NOT NULL DEFAULT '',
    PRIMARY KEY (organization_id, principal_id, role_id, permission_key)
);
CREATE INDEX grants__holders ON grants (organization_id, role_id, permission_key, principal_id);

CREATE TABLE service_accounts (
    organization_id  UUID    NOT NULL REFERENCES organizations (id),
    id               UUID    NOT NULL,
    display_name     TEXT    NOT NULL,
    name_key         TEXT    NOT NULL,
    description      TEXT    NOT NULL DEFAULT '',
    enabled          BOOLEAN NOT NULL,
    parent_type      TEXT    NOT NULL DEFAULT '',
    parent_id        TEXT    NOT NULL DEFAULT '',
    parent_name      TEXT    NOT NULL DEFAULT '',
    audiences        TEXT    NOT NULL DEFAULT '[]',
    allowed_networks TEXT    NOT NULL DEFAULT '[]',
    token_lifetime   BIGINT  NOT NULL DEFAULT 0,
    epoch            BIGINT  NOT NULL,
    version          BIGINT  NOT NULL DEFAULT 1,
    create_time      BIGINT  NOT NULL,
    update_time      BIGINT  NOT NULL,
    created_by       TEXT    NOT NULL DEFAULT '',
    last_used_time   BIGINT  NOT NULL DEFAULT 0,
    delete_time      BIGINT  NOT NULL DEFAULT 0,
    PRIMARY KEY (organization_id, id)
);
CREATE UNIQUE INDEX service_accounts__parent_id ON service_accounts (organization_id, parent_type, parent_id)
    WHERE delete_time = 0 AND parent_id <> '';
CREATE INDEX service_accounts__name ON service_accounts (organization_id, name_key, id) WHERE delete_time = 0;
CREATE INDEX service_accounts__create_time ON service_accounts (organization_id, create_time, id) WHERE delete_time = 0;

CREATE TABLE credentials (
    organization_id    UUID    NOT NULL,
    id                 UUID    NOT NULL,
    service_account_id UUID    NOT NULL,
    kind               TEXT    NOT NULL,
    display_name       TEXT    NOT NULL DEFAULT '',
    digest             BYTEA,
    public_key         TEXT    NOT NULL DEFAULT '',
    enabled            BOOLEAN NOT NULL,
    expire_time        BIGINT  NOT NULL DEFAULT 0,
    create_time        BIGINT  NOT NULL,
    created_by         TEXT    NOT NULL DEFAULT '',
    last_used_time     BIGINT  NOT NULL DEFAULT 0,
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, service_account_id) REFERENCES service_accounts (organization_id, id)
);
CREATE INDEX credentials__service_account ON credentials (organization_id, service_account_id);

-- Users and service accounts alike, for what both have.
CREATE VIEW principals AS
    SELECT organization_id, id, 'user' AS kind, display_name, enabled, confirmed, epoch, version, delete_time
    FROM users
    UNION ALL
    SELECT organization_id, id, 'service_account' AS kind, display_name, enabled, TRUE AS confirmed, epoch, version, delete_time
    FROM service_accounts;

-- The refresh token of a session is derived from its id and generation; neither it nor a digest is kept.
-- The epochs are those of user and organization at the start: once they moved, the session is over.
CREATE TABLE sessions (
    organization_id UUID   NOT NULL,
    id              UUID   NOT NULL,
    user_id         UUID   NOT NULL,
    generation      BIGINT NOT NULL DEFAULT 1,
    epoch           BIGINT NOT NULL,
    org_epoch       BIGINT NOT NULL,
    create_time     BIGINT NOT NULL,
    refresh_time    BIGINT NOT NULL,
    expire_time     BIGINT NOT NULL,
    end_time        BIGINT NOT NULL DEFAULT 0,
    end_reason      TEXT   NOT NULL DEFAULT '',
    source          TEXT   NOT NULL DEFAULT '',
    user_agent      TEXT   NOT NULL DEFAULT '',
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, user_id) REFERENCES users (organization_id, id)
);
CREATE INDEX sessions__user ON sessions (organization_id, user_id);
CREATE INDEX sessions__expire_time ON sessions (expire_time);

CREATE TABLE signing_keys (
    id          TEXT   NOT NULL PRIMARY KEY,
    algorithm   TEXT   NOT NULL,
    sealed      BYTEA  NOT NULL,
    create_time BIGINT NOT NULL,
    use_time    BIGINT NOT NULL,
    expire_time BIGINT NOT NULL DEFAULT 0,
    revoke_time BIGINT NOT NULL DEFAULT 0
);

CREATE TABLE events (
    organization_id       UUID   NOT NULL REFERENCES organizations (id),
    seq                   BIGINT NOT NULL,
    time                  BIGINT NOT NULL,
    type                  TEXT   NOT NULL,
    actor_id              TEXT   NOT NULL DEFAULT '',
    actor_organization_id TEXT   NOT NULL DEFAULT '',
    credential_id         TEXT   NOT NULL DEFAULT '',
    target_id             TEXT   NOT NULL DEFAULT '',
    data                  TEXT   NOT NULL DEFAULT '{}',
    request_id            TEXT   NOT NULL DEFAULT '',
    source                TEXT   NOT NULL DEFAULT '',
    operation_id          TEXT   NOT NULL DEFAULT '',
    PRIMARY KEY (organization_id, seq)
);
CREATE INDEX events__target ON events (organization_id, target_id, seq);
CREATE INDEX events__actor ON events (organization_id, actor_id, seq);

-- Sign-in attempts and refused calls; not numbered, not locked.
CREATE TABLE activity (
    organization_id UUID   NOT NULL,
    id              UUID   NOT NULL,
    time            BIGINT NOT NULL,
    type            TEXT   NOT NULL,
    outcome         TEXT   NOT NULL,
    principal_id    TEXT   NOT NULL DEFAULT '',
    detail          TEXT   NOT NULL DEFAULT '',
    request_id      TEXT   NOT NULL DEFAULT '',
    source          TEXT   NOT NULL DEFAULT '',
    PRIMARY KEY (organization_id, id)
);
CREATE INDEX activity__time ON activity (time);

CREATE TABLE outbox (
    organization_id UUID   NOT NULL,
    id              UUID   NOT NULL,
    kind            TEXT   NOT NULL,
    sealed          BYTEA,
    create_time     BIGINT NOT NULL,
    due_time        BIGINT NOT NULL,
    leased_until    BIGINT NOT NULL DEFAULT 0,
    attempts        BIGINT NOT NULL DEFAULT 0,
    sent_time       BIGINT NOT NULL DEFAULT 0,
    dead_time       BIGINT NOT NULL DEFAULT 0,
    last_error      TEXT   NOT NULL DEFAULT '',
    PRIMARY KEY (organization_id, id)
);
CREATE INDEX outbox__due ON outbox (due_time) WHERE sent_time = 0 AND dead_time = 0;

-- Outcomes of calls that carried a request id, for a day.
CREATE TABLE request_ids (
    organization_id UUID   NOT NULL,
    principal_id    UUID   NOT NULL,
    request_id      TEXT   NOT NULL,
    method          TEXT   NOT NULL,
    content_mac     BYTEA  NOT NULL,
    response        BYTEA  NOT NULL,
    create_time     BIGINT NOT NULL,
    PRIMARY KEY (organization_id, principal_id, request_id)
);
CREATE INDEX request_ids__create_time ON request_ids (create_time);

-- Failed attempts against one guessable thing, named by a digest.
CREATE TABLE throttles (
    key         TEXT   NOT NULL PRIMARY KEY,
    failures    BIGINT NOT NULL,
    retry_time  BIGINT NOT NULL,
    update_time BIGINT NOT NULL
);
CREATE INDEX throttles__update_time ON throttles (update_time);
