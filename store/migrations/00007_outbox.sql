-- Messages say by which way they go, to whom (masked) and until when they mean anything. One-time
-- links of people who are not confirmed.

-- +goose Up
ALTER TABLE outbox ADD COLUMN channel TEXT NOT NULL DEFAULT '';
ALTER TABLE outbox ADD COLUMN recipient TEXT NOT NULL DEFAULT '';
ALTER TABLE outbox ADD COLUMN expire_time BIGINT NOT NULL DEFAULT 0;
DROP INDEX outbox__due;
CREATE INDEX outbox__due ON outbox (channel, due_time) WHERE sent_time = 0 AND dead_time = 0;
CREATE INDEX outbox__dead_time ON outbox (dead_time) WHERE dead_time > 0;
CREATE INDEX outbox__create_time ON outbox (create_time);

-- The link of a person: one at a time, found by the digest of its token. It is good only for the
-- address and the epoch of the person that it was made for.
CREATE TABLE links (
    organization_id UUID   NOT NULL REFERENCES organizations (id),
    user_id         UUID   NOT NULL,
    digest          TEXT   NOT NULL,
    email_key       TEXT   NOT NULL,
    epoch           BIGINT NOT NULL,
    create_time     BIGINT NOT NULL,
    expire_time     BIGINT NOT NULL,
    spend_time      BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (organization_id, user_id)
);
CREATE UNIQUE INDEX links__digest ON links (digest);
CREATE INDEX links__expire_time ON links (expire_time);
