-- Emitters that run: one of an endpoint at most, deleted when it is stopped or has made all its events. Rows of deleted
-- endpoints are passed over, and deleted when the next one is started.
CREATE TABLE emitters (
  endpoint bigint PRIMARY KEY,
  interval_ns bigint NOT NULL,
  -- Ends after so many.
  count bigint,
  event_types text NOT NULL,
  made bigint NOT NULL,
  skipped_ms bigint NOT NULL,
  unsure bigint NOT NULL,
  started_at bigint NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
