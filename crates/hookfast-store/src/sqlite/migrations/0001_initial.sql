CREATE TABLE meta (
  key TEXT PRIMARY KEY,
  value INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO meta VALUES ('incarnation', 0);

CREATE TABLE applications (
  no INTEGER PRIMARY KEY,
  id BLOB NOT NULL UNIQUE,
  org TEXT NOT NULL,
  uid TEXT,
  name TEXT NOT NULL,
  throttle_rate INTEGER,
  metadata TEXT NOT NULL,
  retention_days INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  deleted_at INTEGER
);
CREATE UNIQUE INDEX applications_uid ON applications (org, uid) WHERE uid IS NOT NULL AND deleted_at IS NULL;
CREATE INDEX applications_live ON applications (org, id) WHERE deleted_at IS NULL;

CREATE TABLE endpoints (
  no INTEGER PRIMARY KEY,
  id BLOB NOT NULL UNIQUE,
  app INTEGER NOT NULL,
  uid TEXT,
  url TEXT NOT NULL,
  description TEXT NOT NULL,
  version INTEGER NOT NULL,
  disabled TEXT,
  event_types TEXT,
  channels TEXT,
  throttle_rate INTEGER,
  metadata TEXT NOT NULL,
  headers BLOB NOT NULL,
  secrets BLOB NOT NULL,
  signing INTEGER NOT NULL,
  retry TEXT,
  timeout_ms INTEGER,
  failing_since INTEGER,
  -- For endpoints that keep order: where an event's key is found, and what a dead head does.
  ordering_pointer TEXT,
  on_dead TEXT,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  deleted_at INTEGER
);
CREATE UNIQUE INDEX endpoints_uid ON endpoints (app, uid) WHERE uid IS NOT NULL AND deleted_at IS NULL;
CREATE INDEX endpoints_live ON endpoints (app, id) WHERE deleted_at IS NULL;
CREATE INDEX endpoints_troubled ON endpoints (no)
  WHERE deleted_at IS NULL AND (disabled IS NOT NULL OR failing_since IS NOT NULL);

CREATE TABLE event_types (
  org TEXT NOT NULL,
  name TEXT NOT NULL,
  description TEXT NOT NULL,
  archived INTEGER NOT NULL,
  deprecated INTEGER NOT NULL,
  feature_flags TEXT NOT NULL,
  group_name TEXT,
  schemas TEXT,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  PRIMARY KEY (org, name)
) WITHOUT ROWID;

CREATE TABLE tokens (
  id BLOB PRIMARY KEY,
  hash BLOB NOT NULL UNIQUE,
  name TEXT NOT NULL,
  org TEXT NOT NULL,
  app TEXT,
  created_at INTEGER NOT NULL,
  expires_at INTEGER,
  revoked_at INTEGER
) WITHOUT ROWID;

-- The upper half of an event's id is unique on one node and ordered by time: it is the row id. The body comes last,
-- so that reading the other columns never touches its overflow pages.
CREATE TABLE events (
  id INTEGER PRIMARY KEY,
  low INTEGER NOT NULL,
  app INTEGER NOT NULL,
  incarnation INTEGER NOT NULL,
  retention_days INTEGER NOT NULL,
  event_type TEXT NOT NULL,
  uid TEXT,
  body_hash BLOB,
  -- The idempotency key it came with: here it is durable, `dedupe` gets it later.
  key_hash BLOB,
  key_body BLOB,
  channels TEXT,
  ordering_key TEXT,
  content_type TEXT,
  routed BLOB NOT NULL,
  body BLOB
);
CREATE INDEX events_app ON events (app);
CREATE UNIQUE INDEX events_uid ON events (app, uid) WHERE uid IS NOT NULL;

-- Events whose deliveries an incarnation has in memory only; 8 bytes each.
CREATE TABLE handoff (
  no INTEGER PRIMARY KEY,
  events BLOB NOT NULL
);

-- Events with very many endpoints, whose queue rows are still being made.
CREATE TABLE fanout (
  event INTEGER PRIMARY KEY,
  next INTEGER NOT NULL
);

-- What must be remembered beyond memory. A row is deleted in the transaction that writes its end.
CREATE TABLE queue (
  event INTEGER NOT NULL,
  endpoint INTEGER NOT NULL,
  run INTEGER NOT NULL,
  due INTEGER NOT NULL,
  tries INTEGER NOT NULL,
  crashes INTEGER NOT NULL,
  cause INTEGER,
  manual INTEGER NOT NULL,
  -- For endpoints that keep order.
  order_key BLOB,
  order_no INTEGER,
  PRIMARY KEY (event, endpoint, run)
) WITHOUT ROWID;
CREATE INDEX queue_due ON queue (endpoint, due);

-- Ends. Insert only; the attempt is inside when the first try ended it (then attempt_low is set). `attempt` is the
-- upper half of the last attempt's id, or of the time it ended without one.
CREATE TABLE deliveries (
  event INTEGER NOT NULL,
  endpoint INTEGER NOT NULL,
  run INTEGER NOT NULL,
  state INTEGER NOT NULL,
  cause INTEGER NOT NULL,
  tries INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  attempt_low INTEGER,
  status INTEGER,
  duration_ms INTEGER,
  manual INTEGER,
  url INTEGER,
  excerpt TEXT,
  PRIMARY KEY (event, endpoint, run)
) WITHOUT ROWID;
CREATE INDEX deliveries_endpoint ON deliveries (endpoint, attempt);

-- Every attempt that is not inside its delivery.
CREATE TABLE attempts (
  event INTEGER NOT NULL,
  endpoint INTEGER NOT NULL,
  id INTEGER NOT NULL,
  low INTEGER NOT NULL,
  run INTEGER NOT NULL,
  number INTEGER NOT NULL,
  cause INTEGER NOT NULL,
  status INTEGER NOT NULL,
  duration_ms INTEGER NOT NULL,
  manual INTEGER NOT NULL,
  url INTEGER NOT NULL,
  excerpt TEXT,
  PRIMARY KEY (event, endpoint, id)
) WITHOUT ROWID;
CREATE INDEX attempts_endpoint ON attempts (endpoint, id);

CREATE TABLE urls (
  no INTEGER PRIMARY KEY,
  url TEXT NOT NULL UNIQUE
);

-- Attempts by endpoint and hour.
CREATE TABLE stats (
  endpoint INTEGER NOT NULL,
  hour INTEGER NOT NULL,
  success INTEGER NOT NULL,
  fail INTEGER NOT NULL,
  cancelled INTEGER NOT NULL,
  PRIMARY KEY (endpoint, hour)
) WITHOUT ROWID;

-- Caller keys by the day they were used: a day goes at once, without an index on time. Those of the newest events are
-- still in their rows only.
CREATE TABLE dedupe (
  day INTEGER NOT NULL,
  key BLOB NOT NULL,
  body BLOB NOT NULL,
  object BLOB NOT NULL,
  PRIMARY KEY (day, key)
) WITHOUT ROWID;

-- Deleted endpoints for which rows may still wait.
CREATE TABLE cancels (
  endpoint INTEGER PRIMARY KEY
);

CREATE TABLE tasks (
  id BLOB PRIMARY KEY,
  kind INTEGER NOT NULL,
  app INTEGER NOT NULL,
  endpoint INTEGER NOT NULL,
  since INTEGER NOT NULL,
  until INTEGER NOT NULL,
  cursor INTEGER NOT NULL,
  status INTEGER NOT NULL,
  queued INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX tasks_running ON tasks (id) WHERE status = 0;
