-- Events of a type, and those of a time, are found by an index like those of an actor and of a target.

-- +goose Up
CREATE INDEX events__type ON events (organization_id, type, seq);
CREATE INDEX events__time ON events (organization_id, time, seq);
-- For a parent whose type is not said.
CREATE INDEX service_accounts__parent ON service_accounts (organization_id, parent_id) WHERE delete_time = 0 AND parent_id <> '';
