-- Runs with search_path = hookfast. Ids are UUIDv7, so their order is that of time; other times are milliseconds since
-- the epoch. Hot tables have no foreign keys.

-- One row per life of a node. Every write of a node holds its row FOR SHARE, `state = 0`, to the end of the
-- transaction; declaring it dead is an UPDATE of that row, which so waits for what is under way and lets in nothing more.
CREATE TABLE nodes (
  incarnation bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name text NOT NULL,
  version text NOT NULL,
  -- 0 alive, 1 stopped, 2 dead.
  state smallint NOT NULL DEFAULT 0,
  started_at bigint NOT NULL,
  ended_at bigint
);
-- Apart from `nodes`, so that a beat never waits for a commit. `last_id` is the upper half of the newest id made.
CREATE TABLE beats (
  incarnation bigint PRIMARY KEY,
  beat bigint NOT NULL DEFAULT 0,
  seen_at bigint NOT NULL,
  last_id bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- What exactly one node does at a time.
CREATE TABLE duties (
  name text PRIMARY KEY,
  owner bigint NOT NULL
);

-- How far walks over the store came.
CREATE TABLE cursors (
  name text PRIMARY KEY,
  at uuid NOT NULL
);

-- `version` rises with every change of the application or one of its endpoints: an accept that was routed by another
-- version than the one it finds stores nothing and is routed anew.
CREATE TABLE applications (
  no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  id uuid NOT NULL UNIQUE,
  org text NOT NULL,
  uid text,
  name text NOT NULL,
  throttle_rate integer,
  metadata text NOT NULL,
  retention_days smallint NOT NULL,
  created_at bigint NOT NULL,
  updated_at bigint NOT NULL,
  deleted_at bigint,
  version bigint NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX applications_uid ON applications (org, uid) WHERE uid IS NOT NULL AND deleted_at IS NULL;
CREATE INDEX applications_live ON applications (org, id) WHERE deleted_at IS NULL;

CREATE TABLE endpoints (
  no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  id uuid NOT NULL UNIQUE,
  app bigint NOT NULL REFERENCES applications (no),
  uid text,
  url text NOT NULL,
  description text NOT NULL,
  version integer NOT NULL,
  disabled text,
  event_types text,
  channels text,
  throttle_rate integer,
  metadata text NOT NULL,
  headers bytea NOT NULL,
  secrets bytea NOT NULL,
  signing smallint NOT NULL,
  retry text,
  timeout_ms integer,
  failing_since bigint,
  -- For endpoints that keep order: where an event's key is found, and what a dead head does.
  ordering_pointer text,
  on_dead text,
  created_at bigint NOT NULL,
  updated_at bigint NOT NULL,
  deleted_at bigint
);
CREATE UNIQUE INDEX endpoints_uid ON endpoints (app, uid) WHERE uid IS NOT NULL AND deleted_at IS NULL;
CREATE INDEX endpoints_live ON endpoints (app, id) WHERE deleted_at IS NULL;
CREATE INDEX endpoints_troubled ON endpoints (no)
  WHERE deleted_at IS NULL AND (disabled IS NOT NULL OR failing_since IS NOT NULL);

CREATE TABLE event_types (
  org text NOT NULL,
  name text NOT NULL COLLATE "C",
  description text NOT NULL,
  archived boolean NOT NULL,
  deprecated boolean NOT NULL,
  feature_flags text NOT NULL,
  group_name text,
  schemas text,
  created_at bigint NOT NULL,
  updated_at bigint NOT NULL,
  PRIMARY KEY (org, name)
);

CREATE TABLE tokens (
  id uuid PRIMARY KEY,
  hash bytea NOT NULL UNIQUE,
  name text NOT NULL,
  org text NOT NULL,
  app text,
  created_at bigint NOT NULL,
  expires_at bigint,
  revoked_at bigint
);

-- What changed, for the memories of the other nodes: an application, one of its endpoints, or (neither) a token.
-- Read back for a while, since rows may be committed in another order than numbered.
CREATE TABLE changes (
  no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  app uuid,
  endpoint uuid
);
CREATE INDEX changes_at ON changes (at);

-- History is insert-only and divided by retention class, then by id, so that it goes by dropping tables.
CREATE TABLE events (
  id uuid NOT NULL,
  retention_days smallint NOT NULL,
  app bigint NOT NULL,
  incarnation bigint NOT NULL,
  event_type text NOT NULL,
  uid text,
  channels text,
  ordering_key text,
  content_type text,
  routed bytea NOT NULL,
  body bytea,
  PRIMARY KEY (id, retention_days)
) PARTITION BY LIST (retention_days);
-- Bodies are kept as they are: compressing costs more than the space.
ALTER TABLE events ALTER COLUMN body SET STORAGE EXTERNAL;
CREATE INDEX events_app ON events (app, id);

-- Ends. The attempt is inside when the first try ended it (then `status` is set). `attempt` is the id of the last
-- attempt, or one made when it ended without any.
CREATE TABLE deliveries (
  event uuid NOT NULL,
  endpoint bigint NOT NULL,
  run integer NOT NULL,
  retention_days smallint NOT NULL,
  state smallint NOT NULL,
  cause smallint NOT NULL,
  tries integer NOT NULL,
  attempt uuid NOT NULL,
  status smallint,
  duration_ms integer,
  manual boolean,
  url bigint,
  excerpt bytea,
  PRIMARY KEY (event, endpoint, run, retention_days)
) PARTITION BY LIST (retention_days);
CREATE INDEX deliveries_endpoint ON deliveries (endpoint, attempt);

-- Every attempt that is not inside its delivery.
CREATE TABLE attempts (
  event uuid NOT NULL,
  endpoint bigint NOT NULL,
  id uuid NOT NULL,
  retention_days smallint NOT NULL,
  run integer NOT NULL,
  number integer NOT NULL,
  cause smallint NOT NULL,
  status smallint NOT NULL,
  duration_ms integer NOT NULL,
  manual boolean NOT NULL,
  url bigint NOT NULL,
  excerpt bytea,
  PRIMARY KEY (event, endpoint, id, retention_days)
) PARTITION BY LIST (retention_days);
CREATE INDEX attempts_endpoint ON attempts (endpoint, id);

-- Caller keys by the day they were used; each day is a table.
CREATE TABLE dedupe (
  day integer NOT NULL,
  key bytea NOT NULL,
  body bytea NOT NULL,
  object uuid NOT NULL,
  PRIMARY KEY (day, key)
) PARTITION BY RANGE (day);

-- The callers' own ids of events. A row whose event is gone counts for nothing and is overwritten.
CREATE TABLE uids (
  app bigint NOT NULL,
  uid text NOT NULL COLLATE "C",
  event uuid NOT NULL,
  body bytea NOT NULL,
  PRIMARY KEY (app, uid)
);
CREATE INDEX uids_event ON uids (event);

-- Events whose deliveries an incarnation has in memory only.
CREATE TABLE handoff (
  incarnation bigint NOT NULL,
  batch bigint NOT NULL,
  events uuid[] NOT NULL,
  PRIMARY KEY (incarnation, batch)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);

-- Events with very many endpoints, whose queue rows are still being made.
CREATE TABLE fanout (
  event uuid PRIMARY KEY,
  next integer NOT NULL
);

-- What must be remembered beyond memory. A row is deleted in the transaction that writes its end. A leased row belongs to
-- an incarnation; leases of dead ones are freed by others.
CREATE TABLE queue (
  event uuid NOT NULL,
  endpoint bigint NOT NULL,
  run integer NOT NULL,
  retention_days smallint NOT NULL,
  due bigint NOT NULL,
  tries integer NOT NULL,
  crashes integer NOT NULL,
  cause smallint,
  manual boolean NOT NULL,
  lease_owner bigint,
  lease_no bigint NOT NULL DEFAULT 0,
  -- For endpoints that keep order.
  order_key bytea,
  order_no bigint,
  PRIMARY KEY (event, endpoint, run)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 2000,
        autovacuum_vacuum_cost_delay = 0, autovacuum_analyze_scale_factor = 0.2);
-- What is leased stands outside of the index that is claimed by.
CREATE INDEX queue_due ON queue (endpoint, due) WHERE lease_owner IS NULL;
CREATE INDEX queue_leased ON queue (lease_owner) WHERE lease_owner IS NOT NULL;

CREATE TABLE urls (
  no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  url text NOT NULL COLLATE "C" UNIQUE
);

-- Attempts by endpoint and hour; `stats_log` has those of single commits, until they are added up.
CREATE TABLE stats (
  endpoint bigint NOT NULL,
  hour integer NOT NULL,
  success bigint NOT NULL,
  fail bigint NOT NULL,
  cancelled bigint NOT NULL,
  PRIMARY KEY (endpoint, hour)
) WITH (fillfactor = 70);
CREATE TABLE stats_log (
  endpoint bigint NOT NULL,
  hour integer NOT NULL,
  success integer NOT NULL,
  fail integer NOT NULL,
  cancelled integer NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);

-- Deleted endpoints for which rows may still wait.
CREATE TABLE cancels (
  endpoint bigint PRIMARY KEY,
  deleted_at bigint NOT NULL
);

CREATE TABLE tasks (
  id uuid PRIMARY KEY,
  kind smallint NOT NULL,
  app bigint NOT NULL,
  endpoint bigint NOT NULL,
  since uuid NOT NULL,
  until uuid NOT NULL,
  cursor uuid NOT NULL,
  status smallint NOT NULL,
  queued bigint NOT NULL,
  updated_at bigint NOT NULL
);
CREATE INDEX tasks_running ON tasks (id) WHERE status = 0;

-- Events deleted by retention, for ever: what is gone is counted.
CREATE TABLE purged (
  retention_days smallint PRIMARY KEY,
  events bigint NOT NULL
);
