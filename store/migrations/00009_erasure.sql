-- What is kept of a person is found by the person, so that it can be erased.

-- +goose Up
CREATE INDEX users__delete_time ON users (delete_time) WHERE delete_time <> 0;
CREATE INDEX activity__principal ON activity (organization_id, principal_id);
ALTER TABLE outbox ADD COLUMN principal_id TEXT NOT NULL DEFAULT '';
CREATE INDEX outbox__principal ON outbox (organization_id, principal_id) WHERE principal_id <> '';
-- The person whom a remembered outcome describes; it lies with its caller, who may be of another organization.
ALTER TABLE request_ids ADD COLUMN about TEXT NOT NULL DEFAULT '';
CREATE INDEX request_ids__about ON request_ids (about) WHERE about <> '';
