-- How far a copy of another store into this one came: a row for each table, `at` the key of its last row there, and one
-- called `source`, `at` what is copied. While one is not done, no server starts.
CREATE TABLE copies (
  name text PRIMARY KEY,
  at bytea,
  rows bigint NOT NULL,
  done boolean NOT NULL
);
