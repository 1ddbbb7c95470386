-- When the roles of an organization last changed; on the platform organization's row the built-in roles and the
-- permissions count too. What was read of them while it was the same is still what they are. A later migration that
-- changes those raises it: UPDATE organization_clock SET roles_epoch = roles_epoch + 1.

-- +goose Up
ALTER TABLE organization_clock ADD COLUMN roles_epoch BIGINT NOT NULL DEFAULT 0;
-- Who is blocked now is asked as a whole.
CREATE INDEX throttles__retry_time ON throttles (retry_time);
-- Pending people are few among many. Nothing like it for disabled ones: an index that knows who is enabled would have
-- PostgreSQL write every index anew for each person whom a bulk change switches.
CREATE INDEX users__pending ON users (organization_id, email_key, id) WHERE delete_time = 0 AND NOT confirmed;
