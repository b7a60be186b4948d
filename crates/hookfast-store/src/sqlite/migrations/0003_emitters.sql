-- Emitters that run: one of an endpoint at most, deleted when it is stopped or has made all its events. Rows of deleted
-- endpoints are passed over, and deleted when the next one is started.
CREATE TABLE emitters (
  endpoint INTEGER PRIMARY KEY,
  interval_ns INTEGER NOT NULL,
  -- Ends after so many.
  count INTEGER,
  event_types TEXT NOT NULL,
  made INTEGER NOT NULL,
  skipped_ms INTEGER NOT NULL,
  unsure INTEGER NOT NULL,
  started_at INTEGER NOT NULL
);
