-- Devices on which users fully signed in, so that their wrong passwords are counted apart. Their tokens are not kept.

-- +goose Up
CREATE TABLE devices (
    organization_id UUID   NOT NULL,
    id              UUID   NOT NULL,
    user_id         UUID   NOT NULL,
    use_time        BIGINT NOT NULL,
    PRIMARY KEY (organization_id, id)
);
CREATE INDEX devices__user ON devices (organization_id, user_id, use_time);
CREATE INDEX devices__use_time ON devices (use_time);
