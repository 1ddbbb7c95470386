-- Access tokens that were ended one by one, until they would have ended anyway; and the moment
-- before which all tokens of a credential are over.

-- +goose Up
CREATE TABLE revoked_tokens (
    organization_id UUID   NOT NULL REFERENCES organizations (id),
    id              UUID   NOT NULL,
    expire_time     BIGINT NOT NULL,
    create_time     BIGINT NOT NULL,
    PRIMARY KEY (organization_id, id)
);
CREATE INDEX revoked_tokens__expire_time ON revoked_tokens (expire_time);
ALTER TABLE credentials ADD COLUMN tokens_after BIGINT NOT NULL DEFAULT 0;
