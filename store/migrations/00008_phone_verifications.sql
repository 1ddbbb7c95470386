-- Codes that were sent by SMS, and the proofs made of them. The number is sealed, of the code
-- only a keyed digest is kept. user_id is whose number it is to become; empty: that of a user
-- who is not there yet.

-- +goose Up
CREATE TABLE phone_verifications (
    organization_id        UUID   NOT NULL REFERENCES organizations (id),
    id                     UUID   NOT NULL,
    caller_organization_id UUID   NOT NULL REFERENCES organizations (id),
    caller_id              UUID   NOT NULL,
    user_id                TEXT   NOT NULL DEFAULT '',
    phone_sealed           BYTEA  NOT NULL,
    phone_masked           TEXT   NOT NULL,
    code_mac               BYTEA  NOT NULL,
    sends                  BIGINT NOT NULL,
    tries                  BIGINT NOT NULL DEFAULT 0,
    send_time              BIGINT NOT NULL,
    expire_time            BIGINT NOT NULL,
    confirm_time           BIGINT NOT NULL DEFAULT 0,
    take_time              BIGINT NOT NULL DEFAULT 0,
    create_time            BIGINT NOT NULL,
    PRIMARY KEY (organization_id, id)
);
CREATE INDEX phone_verifications__create_time ON phone_verifications (create_time);
