-- Refused calls fold into one row a minute, whose id is made of what they have in common: count says how many there
-- were, time when the first was and last_time when the last (0: there was one).

-- +goose Up
ALTER TABLE activity ADD COLUMN count BIGINT NOT NULL DEFAULT 1;
ALTER TABLE activity ADD COLUMN last_time BIGINT NOT NULL DEFAULT 0;
