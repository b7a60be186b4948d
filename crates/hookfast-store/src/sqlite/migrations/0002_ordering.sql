-- Of the rows of one key at one endpoint only the first may be due; the others are parked, beyond all time.
CREATE INDEX queue_order ON queue (endpoint, order_key, order_no) WHERE order_key IS NOT NULL;

-- Keys held up by a dead delivery, until it is replayed.
CREATE TABLE blocked (
  endpoint INTEGER NOT NULL,
  order_key BLOB NOT NULL,
  event INTEGER NOT NULL,
  order_no INTEGER NOT NULL,
  PRIMARY KEY (endpoint, order_key)
) WITHOUT ROWID;
CREATE INDEX blocked_event ON blocked (event, endpoint);
