-- A key at an endpoint that keeps order, as long as it has rows. Whoever adds a row of the key, ends one, holds the key up
-- or frees it changes this row first, and looks for the first of the key in a later statement of the same transaction.
CREATE TABLE ordering (
  endpoint bigint NOT NULL,
  key bytea NOT NULL,
  -- The highest number given to a row of the key.
  last_no bigint NOT NULL,
  PRIMARY KEY (endpoint, key)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000,
        autovacuum_vacuum_cost_delay = 0);

-- Keys held up by a dead delivery, until it is replayed.
CREATE TABLE blocked (
  endpoint bigint NOT NULL,
  key bytea NOT NULL,
  event uuid NOT NULL,
  retention_days smallint NOT NULL,
  order_no bigint NOT NULL,
  PRIMARY KEY (endpoint, key)
);
CREATE INDEX blocked_event ON blocked (event, endpoint);

-- Of the rows of one key at one endpoint only the first may be due; the others are parked, beyond all time.
CREATE INDEX queue_order ON queue (endpoint, order_key, order_no) WHERE order_key IS NOT NULL;
