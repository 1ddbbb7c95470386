-- Deleted users are listed in each order, until they are purged.

-- +goose Up
CREATE INDEX users__deleted_email ON users (organization_id, email_key, id) WHERE delete_time <> 0;
CREATE INDEX users__deleted_name ON users (organization_id, name_key, id) WHERE delete_time <> 0;
CREATE INDEX users__deleted_create_time ON users (organization_id, create_time, id) WHERE delete_time <> 0;
