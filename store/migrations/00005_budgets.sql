-- How often something was done in a window of time, named by a digest.

-- +goose Up
CREATE TABLE budgets (
    key      TEXT   NOT NULL PRIMARY KEY,
    used     BIGINT NOT NULL,
    end_time BIGINT NOT NULL
);
CREATE INDEX budgets__end_time ON budgets (end_time);
