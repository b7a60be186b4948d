CREATE SCHEMA hookfast;
CREATE TABLE hookfast.applications (
    no bigint NOT NULL,
    id uuid NOT NULL,
    org text NOT NULL,
    uid text,
    name text NOT NULL,
    throttle_rate integer,
    metadata text NOT NULL,
    retention_days smallint NOT NULL,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    deleted_at bigint,
    version bigint DEFAULT 0 NOT NULL
);
ALTER TABLE hookfast.applications ALTER COLUMN no ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME hookfast.applications_no_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE hookfast.attempts (
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
    excerpt bytea
)
PARTITION BY LIST (retention_days);
CREATE TABLE hookfast.attempts_90 (
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
    excerpt bytea
)
PARTITION BY RANGE (event);
CREATE TABLE hookfast.attempts_90_20454 (
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
    excerpt bytea
)
WITH (autovacuum_vacuum_insert_scale_factor='0.5', autovacuum_analyze_scale_factor='0.5');
CREATE TABLE hookfast.attempts_90_20461 (
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
    excerpt bytea
)
WITH (autovacuum_vacuum_insert_scale_factor='0.5', autovacuum_analyze_scale_factor='0.5');
CREATE TABLE hookfast.attempts_90_rest (
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
    excerpt bytea
);
CREATE TABLE hookfast.beats (
    incarnation bigint NOT NULL,
    beat bigint DEFAULT 0 NOT NULL,
    seen_at bigint NOT NULL,
    last_id bigint DEFAULT 0 NOT NULL
)
WITH (fillfactor='50', autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='1000');
CREATE TABLE hookfast.cancels (
    endpoint bigint NOT NULL,
    deleted_at bigint NOT NULL
);
CREATE TABLE hookfast.changes (
    no bigint NOT NULL,
    at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    app uuid,
    endpoint uuid
);
ALTER TABLE hookfast.changes ALTER COLUMN no ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME hookfast.changes_no_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE hookfast.cursors (
    name text NOT NULL,
    at uuid NOT NULL
);
CREATE TABLE hookfast.dedupe (
    day integer NOT NULL,
    key bytea NOT NULL,
    body bytea NOT NULL,
    object uuid NOT NULL
)
PARTITION BY RANGE (day);
CREATE TABLE hookfast.dedupe_20457 (
    day integer NOT NULL,
    key bytea NOT NULL,
    body bytea NOT NULL,
    object uuid NOT NULL
);
CREATE TABLE hookfast.dedupe_20458 (
    day integer NOT NULL,
    key bytea NOT NULL,
    body bytea NOT NULL,
    object uuid NOT NULL
);
CREATE TABLE hookfast.dedupe_20459 (
    day integer NOT NULL,
    key bytea NOT NULL,
    body bytea NOT NULL,
    object uuid NOT NULL
);
CREATE TABLE hookfast.dedupe_20460 (
    day integer NOT NULL,
    key bytea NOT NULL,
    body bytea NOT NULL,
    object uuid NOT NULL
);
CREATE TABLE hookfast.dedupe_20461 (
    day integer NOT NULL,
    key bytea NOT NULL,
    body bytea NOT NULL,
    object uuid NOT NULL
);
CREATE TABLE hookfast.dedupe_20462 (
    day integer NOT NULL,
    key bytea NOT NULL,
    body bytea NOT NULL,
    object uuid NOT NULL
);
CREATE TABLE hookfast.dedupe_20463 (
    day integer NOT NULL,
    key bytea NOT NULL,
    body bytea NOT NULL,
    object uuid NOT NULL
);
CREATE TABLE hookfast.dedupe_20464 (
    day integer NOT NULL,
    key bytea NOT NULL,
    body bytea NOT NULL,
    object uuid NOT NULL
);
CREATE TABLE hookfast.dedupe_20465 (
    day integer NOT NULL,
    key bytea NOT NULL,
    body bytea NOT NULL,
    object uuid NOT NULL
);
CREATE TABLE hookfast.dedupe_rest (
    day integer NOT NULL,
    key bytea NOT NULL,
    body bytea NOT NULL,
    object uuid NOT NULL
);
CREATE TABLE hookfast.deliveries (
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
    excerpt bytea
)
PARTITION BY LIST (retention_days);
CREATE TABLE hookfast.deliveries_90 (
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
    excerpt bytea
)
PARTITION BY RANGE (event);
CREATE TABLE hookfast.deliveries_90_20454 (
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
    excerpt bytea
)
WITH (autovacuum_vacuum_insert_scale_factor='0.5', autovacuum_analyze_scale_factor='0.5');
CREATE TABLE hookfast.deliveries_90_20461 (
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
    excerpt bytea
)
WITH (autovacuum_vacuum_insert_scale_factor='0.5', autovacuum_analyze_scale_factor='0.5');
CREATE TABLE hookfast.deliveries_90_rest (
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
    excerpt bytea
);
CREATE TABLE hookfast.duties (
    name text NOT NULL,
    owner bigint NOT NULL
);
CREATE TABLE hookfast.endpoints (
    no bigint NOT NULL,
    id uuid NOT NULL,
    app bigint NOT NULL,
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
    ordering_pointer text,
    on_dead text,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    deleted_at bigint
);
ALTER TABLE hookfast.endpoints ALTER COLUMN no ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME hookfast.endpoints_no_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE hookfast.event_types (
    org text NOT NULL,
    name text NOT NULL COLLATE pg_catalog."C",
    description text NOT NULL,
    archived boolean NOT NULL,
    deprecated boolean NOT NULL,
    feature_flags text NOT NULL,
    group_name text,
    schemas text,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL
);
CREATE TABLE hookfast.events (
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
    body bytea
)
PARTITION BY LIST (retention_days);
ALTER TABLE ONLY hookfast.events ALTER COLUMN body SET STORAGE EXTERNAL;
CREATE TABLE hookfast.events_90 (
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
    body bytea
)
PARTITION BY RANGE (id);
ALTER TABLE ONLY hookfast.events_90 ALTER COLUMN body SET STORAGE EXTERNAL;
CREATE TABLE hookfast.events_90_20454 (
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
    body bytea
)
WITH (autovacuum_vacuum_insert_scale_factor='0.5', autovacuum_analyze_scale_factor='0.5');
ALTER TABLE ONLY hookfast.events_90_20454 ALTER COLUMN body SET STORAGE EXTERNAL;
CREATE TABLE hookfast.events_90_20461 (
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
    body bytea
)
WITH (autovacuum_vacuum_insert_scale_factor='0.5', autovacuum_analyze_scale_factor='0.5');
ALTER TABLE ONLY hookfast.events_90_20461 ALTER COLUMN body SET STORAGE EXTERNAL;
CREATE TABLE hookfast.events_90_rest (
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
    body bytea
);
ALTER TABLE ONLY hookfast.events_90_rest ALTER COLUMN body SET STORAGE EXTERNAL;
CREATE TABLE hookfast.fanout (
    event uuid NOT NULL,
    next integer NOT NULL
);
CREATE TABLE hookfast.handoff (
    incarnation bigint NOT NULL,
    batch bigint NOT NULL,
    events uuid[] NOT NULL
)
WITH (autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='2000', autovacuum_vacuum_cost_delay='0');
CREATE TABLE hookfast.migrations (
    version integer NOT NULL,
    name text NOT NULL,
    checksum bytea NOT NULL,
    applied_at timestamp with time zone DEFAULT now() NOT NULL
);
CREATE TABLE hookfast.nodes (
    incarnation bigint NOT NULL,
    name text NOT NULL,
    version text NOT NULL,
    state smallint DEFAULT 0 NOT NULL,
    started_at bigint NOT NULL,
    ended_at bigint
);
ALTER TABLE hookfast.nodes ALTER COLUMN incarnation ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME hookfast.nodes_incarnation_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE hookfast.purged (
    retention_days smallint NOT NULL,
    events bigint NOT NULL
);
CREATE TABLE hookfast.queue (
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
    lease_no bigint DEFAULT 0 NOT NULL,
    order_key bytea,
    order_no bigint
)
WITH (fillfactor='80', autovacuum_vacuum_scale_factor='0.01', autovacuum_vacuum_threshold='2000', autovacuum_vacuum_cost_delay='0', autovacuum_analyze_scale_factor='0.2');
CREATE TABLE hookfast.stats (
    endpoint bigint NOT NULL,
    hour integer NOT NULL,
    success bigint NOT NULL,
    fail bigint NOT NULL,
    cancelled bigint NOT NULL
)
WITH (fillfactor='70');
CREATE TABLE hookfast.stats_log (
    endpoint bigint NOT NULL,
    hour integer NOT NULL,
    success integer NOT NULL,
    fail integer NOT NULL,
    cancelled integer NOT NULL
)
WITH (autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='5000', autovacuum_vacuum_cost_delay='0');
CREATE TABLE hookfast.tasks (
    id uuid NOT NULL,
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
CREATE TABLE hookfast.tokens (
    id uuid NOT NULL,
    hash bytea NOT NULL,
    name text NOT NULL,
    org text NOT NULL,
    app text,
    created_at bigint NOT NULL,
    expires_at bigint,
    revoked_at bigint
);
CREATE TABLE hookfast.uids (
    app bigint NOT NULL,
    uid text NOT NULL COLLATE pg_catalog."C",
    event uuid NOT NULL,
    body bytea NOT NULL
);
CREATE TABLE hookfast.urls (
    no bigint NOT NULL,
    url text NOT NULL COLLATE pg_catalog."C"
);
ALTER TABLE hookfast.urls ALTER COLUMN no ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME hookfast.urls_no_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
ALTER TABLE ONLY hookfast.attempts ATTACH PARTITION hookfast.attempts_90 FOR VALUES IN ('90');
ALTER TABLE ONLY hookfast.attempts_90 ATTACH PARTITION hookfast.attempts_90_20454 FOR VALUES FROM ('019b76da-a800-0000-0000-000000000000') TO ('019b9ae7-2c00-0000-0000-000000000000');
ALTER TABLE ONLY hookfast.attempts_90 ATTACH PARTITION hookfast.attempts_90_20461 FOR VALUES FROM ('019b9ae7-2c00-0000-0000-000000000000') TO ('019bbef3-b000-0000-0000-000000000000');
ALTER TABLE ONLY hookfast.attempts_90 ATTACH PARTITION hookfast.attempts_90_rest DEFAULT;
ALTER TABLE ONLY hookfast.dedupe ATTACH PARTITION hookfast.dedupe_20457 FOR VALUES FROM (20457) TO (20458);
ALTER TABLE ONLY hookfast.dedupe ATTACH PARTITION hookfast.dedupe_20458 FOR VALUES FROM (20458) TO (20459);
ALTER TABLE ONLY hookfast.dedupe ATTACH PARTITION hookfast.dedupe_20459 FOR VALUES FROM (20459) TO (20460);
ALTER TABLE ONLY hookfast.dedupe ATTACH PARTITION hookfast.dedupe_20460 FOR VALUES FROM (20460) TO (20461);
ALTER TABLE ONLY hookfast.dedupe ATTACH PARTITION hookfast.dedupe_20461 FOR VALUES FROM (20461) TO (20462);
ALTER TABLE ONLY hookfast.dedupe ATTACH PARTITION hookfast.dedupe_20462 FOR VALUES FROM (20462) TO (20463);
ALTER TABLE ONLY hookfast.dedupe ATTACH PARTITION hookfast.dedupe_20463 FOR VALUES FROM (20463) TO (20464);
ALTER TABLE ONLY hookfast.dedupe ATTACH PARTITION hookfast.dedupe_20464 FOR VALUES FROM (20464) TO (20465);
ALTER TABLE ONLY hookfast.dedupe ATTACH PARTITION hookfast.dedupe_20465 FOR VALUES FROM (20465) TO (20466);
ALTER TABLE ONLY hookfast.dedupe ATTACH PARTITION hookfast.dedupe_rest DEFAULT;
ALTER TABLE ONLY hookfast.deliveries ATTACH PARTITION hookfast.deliveries_90 FOR VALUES IN ('90');
ALTER TABLE ONLY hookfast.deliveries_90 ATTACH PARTITION hookfast.deliveries_90_20454 FOR VALUES FROM ('019b76da-a800-0000-0000-000000000000') TO ('019b9ae7-2c00-0000-0000-000000000000');
ALTER TABLE ONLY hookfast.deliveries_90 ATTACH PARTITION hookfast.deliveries_90_20461 FOR VALUES FROM ('019b9ae7-2c00-0000-0000-000000000000') TO ('019bbef3-b000-0000-0000-000000000000');
ALTER TABLE ONLY hookfast.deliveries_90 ATTACH PARTITION hookfast.deliveries_90_rest DEFAULT;
ALTER TABLE ONLY hookfast.events ATTACH PARTITION hookfast.events_90 FOR VALUES IN ('90');
ALTER TABLE ONLY hookfast.events_90 ATTACH PARTITION hookfast.events_90_20454 FOR VALUES FROM ('019b76da-a800-0000-0000-000000000000') TO ('019b9ae7-2c00-0000-0000-000000000000');
ALTER TABLE ONLY hookfast.events_90 ATTACH PARTITION hookfast.events_90_20461 FOR VALUES FROM ('019b9ae7-2c00-0000-0000-000000000000') TO ('019bbef3-b000-0000-0000-000000000000');
ALTER TABLE ONLY hookfast.events_90 ATTACH PARTITION hookfast.events_90_rest DEFAULT;
INSERT INTO hookfast.applications OVERRIDING SYSTEM VALUE VALUES (1, '019b8db4-e040-7001-ae3b-2e437eb221bf', 'org_23rb8YdGqMT0qIzpgGwdXfHirMu', 'shop', 'Acme', NULL, '{"plan":"large"}', 90, 1767609000000, 1767609000000, NULL, 2);
INSERT INTO hookfast.applications OVERRIDING SYSTEM VALUE VALUES (2, '019b8db4-e428-7009-b33c-82f2f873dcfc', 'org_23rb8YdGqMT0qIzpgGwdXfHirMu', NULL, 'Acme', NULL, '{}', 90, 1767609001000, 1767609001000, 1767609001000, 3);
INSERT INTO hookfast.attempts_90_20454 VALUES ('019b8db4-e040-7005-b07f-c9b2893a3fe1', 1, '019b8db4-e040-7006-a265-13959c5ebce0', 90, 0, 1, 8, 0, 12, false, 1, '\x616e737765722030');
INSERT INTO hookfast.attempts_90_20454 VALUES ('019b8db4-e040-7005-b07f-c9b2893a3fe1', 1, '019b8db4-e428-7000-bbfb-0eb6c9bc326f', 90, 0, 2, 0, 200, 12, false, 1, '\x616e7377657220323030');
INSERT INTO hookfast.attempts_90_20454 VALUES ('019b8db4-e428-7001-b92e-903eeebd7d13', 1, '019b8db4-e428-7002-8ae5-028bcc78d66e', 90, 0, 1, 1, 503, 12, false, 1, '\x616e7377657220353033');
INSERT INTO hookfast.beats VALUES (1, 2, 1767609001000, 115842023489564684);
INSERT INTO hookfast.cancels VALUES (2, 1767609001000);
INSERT INTO hookfast.changes OVERRIDING SYSTEM VALUE VALUES (1, '2026-11-22 05:55:18.02796+00', '019b8db4-e040-7001-ae3b-2e437eb221bf', NULL);
INSERT INTO hookfast.changes OVERRIDING SYSTEM VALUE VALUES (2, '2026-11-22 05:55:18.046293+00', '019b8db4-e040-7001-ae3b-2e437eb221bf', '019b8db4-e040-7003-89ce-ebc7de8ff56e');
INSERT INTO hookfast.changes OVERRIDING SYSTEM VALUE VALUES (3, '2026-11-22 05:55:18.242254+00', '019b8db4-e428-7009-b33c-82f2f873dcfc', NULL);
INSERT INTO hookfast.changes OVERRIDING SYSTEM VALUE VALUES (4, '2026-11-22 05:55:18.254148+00', '019b8db4-e428-7009-b33c-82f2f873dcfc', '019b8db4-e428-700a-bbd7-f7d7aa2e24fa');
INSERT INTO hookfast.changes OVERRIDING SYSTEM VALUE VALUES (5, '2026-11-22 05:55:18.277056+00', '019b8db4-e428-7009-b33c-82f2f873dcfc', NULL);
INSERT INTO hookfast.changes OVERRIDING SYSTEM VALUE VALUES (6, '2026-11-22 05:55:18.277103+00', '019b8db4-e428-7009-b33c-82f2f873dcfc', '019b8db4-e428-700a-bbd7-f7d7aa2e24fa');
INSERT INTO hookfast.dedupe_20458 VALUES (20458, '\x09090909090909090909090909090909', '\x09090909090909090909090909090909', '019b8db4-e040-7001-ae3b-2e437eb221bf');
INSERT INTO hookfast.dedupe_20458 VALUES (20458, '\x03030303030303030303030303030303', '\x01010101010101010101010101010101', '019b8db4-e040-7005-b07f-c9b2893a3fe1');
INSERT INTO hookfast.deliveries_90_20454 VALUES ('019b8db4-e040-7005-b07f-c9b2893a3fe1', 1, 0, 90, 2, 0, 2, '019b8db4-e428-7000-bbfb-0eb6c9bc326f', NULL, NULL, NULL, NULL, NULL);
INSERT INTO hookfast.deliveries_90_20454 VALUES ('019b8db4-e428-7001-b92e-903eeebd7d13', 1, 0, 90, 3, 1, 1, '019b8db4-e428-7002-8ae5-028bcc78d66e', NULL, NULL, NULL, NULL, NULL);
INSERT INTO hookfast.deliveries_90_20454 VALUES ('019b8db4-e428-7004-893d-20a3e59b214c', 1, 0, 90, 2, 0, 1, '019b8db4-e428-7005-97c1-5f17a95a2942', 200, 12, false, 1, '\x616e7377657220323030');
INSERT INTO hookfast.duties VALUES ('roll_up', 1);
INSERT INTO hookfast.endpoints OVERRIDING SYSTEM VALUE VALUES (1, '019b8db4-e040-7003-89ce-ebc7de8ff56e', 1, 'hooks', 'http://127.0.0.1:9/hook', '', 1, NULL, '["invoice.paid"]', NULL, NULL, '{}', '\x007b22782d73686f70223a2237227d', '\x007b2263757272656e74223a2277687365635f43324656734251496872736343686c51494d562b623573535973706f62376f44222c226f6c64223a5b5d7d', 0, NULL, NULL, NULL, NULL, NULL, 1767609000000, 1767609000000, NULL);
INSERT INTO hookfast.endpoints OVERRIDING SYSTEM VALUE VALUES (2, '019b8db4-e428-700a-bbd7-f7d7aa2e24fa', 2, NULL, 'http://127.0.0.1:9/hook', '', 1, NULL, NULL, NULL, NULL, '{}', '\x007b7d', '\x007b2263757272656e74223a2277687365635f43324656734251496872736343686c51494d562b623573535973706f62376f44222c226f6c64223a5b5d7d', 0, NULL, NULL, NULL, NULL, NULL, 1767609001000, 1767609001000, 1767609001000);
INSERT INTO hookfast.event_types VALUES ('org_23rb8YdGqMT0qIzpgGwdXfHirMu', 'invoice.paid', 'An invoice was paid', false, false, '["beta"]', 'billing', '{"1":{}}', 1767609000000, 1767609000000);
INSERT INTO hookfast.events_90_20454 VALUES ('019b8db4-e040-7005-b07f-c9b2893a3fe1', 90, 1, 1, 'invoice.paid', 'delivered', '["eu"]', NULL, NULL, '\x01', '\x7b22616d6f756e74223a317d');
INSERT INTO hookfast.events_90_20454 VALUES ('019b8db4-e428-7001-b92e-903eeebd7d13', 90, 1, 1, 'invoice.paid', 'dead', NULL, NULL, NULL, '\x01', '\x7b22616d6f756e74223a317d');
INSERT INTO hookfast.events_90_20454 VALUES ('019b8db4-e428-7004-893d-20a3e59b214c', 90, 1, 1, 'invoice.paid', 'at once', NULL, NULL, NULL, '\x01', '\x7b22616d6f756e74223a317d');
INSERT INTO hookfast.events_90_20454 VALUES ('019b8db4-e428-7006-8f6c-df84ca026afb', 90, 1, 1, 'invoice.paid', 'in memory', NULL, NULL, NULL, '\x01', '\x7b22616d6f756e74223a317d');
INSERT INTO hookfast.events_90_20454 VALUES ('019b8db4-e428-7007-9b2f-30b69d1d2c02', 90, 1, 1, 'invoice.paid', 'leased', NULL, NULL, NULL, '\x01', '\x7b22616d6f756e74223a317d');
INSERT INTO hookfast.events_90_20454 VALUES ('019b8db4-e428-7008-a18a-142ddd0661b2', 90, 1, 1, 'invoice.paid', 'queued', NULL, NULL, NULL, '\x01', '\x7b22616d6f756e74223a317d');
INSERT INTO hookfast.events_90_20454 VALUES ('019b8db4-e428-700b-980c-2f6d3bef1601', 90, 2, 1, 'invoice.paid', NULL, NULL, NULL, NULL, '\x02', '\x7b22616d6f756e74223a317d');
INSERT INTO hookfast.handoff VALUES (1, 2, '{019b8db4-e428-7006-8f6c-df84ca026afb}');
INSERT INTO hookfast.migrations VALUES (1, 'initial', '\x1fcdec5a25eb9675e4500ea3d3fb0ed406cbb248c3da7038cf63b0ac74300cdf', '2026-11-22 05:55:17.591417+00');
INSERT INTO hookfast.nodes OVERRIDING SYSTEM VALUE VALUES (1, 'pid 2444', '0.1.0', 0, 1767609000000, NULL);
INSERT INTO hookfast.queue VALUES ('019b8db4-e428-7007-9b2f-30b69d1d2c02', 1, 0, 90, 1767609001000, 0, 0, NULL, false, 1, 1, NULL, NULL);
INSERT INTO hookfast.queue VALUES ('019b8db4-e428-7008-a18a-142ddd0661b2', 1, 0, 90, 1767609001000, 0, 0, NULL, false, NULL, 0, NULL, NULL);
INSERT INTO hookfast.queue VALUES ('019b8db4-e428-700b-980c-2f6d3bef1601', 2, 0, 90, 1767609001000, 0, 0, NULL, false, NULL, 0, NULL, NULL);
INSERT INTO hookfast.stats VALUES (1, 491002, 1, 2, 0);
INSERT INTO hookfast.stats_log VALUES (1, 491002, 1, 0, 0);
INSERT INTO hookfast.tasks VALUES ('019b8db4-e428-7003-8563-43cb848fad1a', 0, 1, 1, '00000000-0000-0000-0000-000000000000', '019b8db4-e429-0000-0000-000000000000', '00000000-0000-0000-0000-000000000000', 0, 0, 1767609001000);
INSERT INTO hookfast.tokens VALUES ('019b8db4-e040-7004-b7df-e93df9801ac0', '\x0707070707070707070707070707070707070707070707070707070707070707', 'ci', 'org_23rb8YdGqMT0qIzpgGwdXfHirMu', NULL, 1767609000000, NULL, NULL);
INSERT INTO hookfast.uids VALUES (1, 'delivered', '019b8db4-e040-7005-b07f-c9b2893a3fe1', '\x01010101010101010101010101010101');
INSERT INTO hookfast.uids VALUES (1, 'dead', '019b8db4-e428-7001-b92e-903eeebd7d13', '\x01010101010101010101010101010101');
INSERT INTO hookfast.uids VALUES (1, 'at once', '019b8db4-e428-7004-893d-20a3e59b214c', '\x01010101010101010101010101010101');
INSERT INTO hookfast.uids VALUES (1, 'in memory', '019b8db4-e428-7006-8f6c-df84ca026afb', '\x01010101010101010101010101010101');
INSERT INTO hookfast.uids VALUES (1, 'leased', '019b8db4-e428-7007-9b2f-30b69d1d2c02', '\x01010101010101010101010101010101');
INSERT INTO hookfast.uids VALUES (1, 'queued', '019b8db4-e428-7008-a18a-142ddd0661b2', '\x01010101010101010101010101010101');
INSERT INTO hookfast.urls OVERRIDING SYSTEM VALUE VALUES (1, 'http://127.0.0.1:9/hook');
SELECT pg_catalog.setval('hookfast.applications_no_seq', 2, true);
SELECT pg_catalog.setval('hookfast.changes_no_seq', 6, true);
SELECT pg_catalog.setval('hookfast.endpoints_no_seq', 2, true);
SELECT pg_catalog.setval('hookfast.nodes_incarnation_seq', 1, true);
SELECT pg_catalog.setval('hookfast.urls_no_seq', 1, true);
ALTER TABLE ONLY hookfast.applications
    ADD CONSTRAINT applications_id_key UNIQUE (id);
ALTER TABLE ONLY hookfast.applications
    ADD CONSTRAINT applications_pkey PRIMARY KEY (no);
ALTER TABLE ONLY hookfast.attempts
    ADD CONSTRAINT attempts_pkey PRIMARY KEY (event, endpoint, id, retention_days);
ALTER TABLE ONLY hookfast.attempts_90
    ADD CONSTRAINT attempts_90_pkey PRIMARY KEY (event, endpoint, id, retention_days);
ALTER TABLE ONLY hookfast.attempts_90_20454
    ADD CONSTRAINT attempts_90_20454_pkey PRIMARY KEY (event, endpoint, id, retention_days);
ALTER TABLE ONLY hookfast.attempts_90_20461
    ADD CONSTRAINT attempts_90_20461_pkey PRIMARY KEY (event, endpoint, id, retention_days);
ALTER TABLE ONLY hookfast.attempts_90_rest
    ADD CONSTRAINT attempts_90_rest_pkey PRIMARY KEY (event, endpoint, id, retention_days);
ALTER TABLE ONLY hookfast.beats
    ADD CONSTRAINT beats_pkey PRIMARY KEY (incarnation);
ALTER TABLE ONLY hookfast.cancels
    ADD CONSTRAINT cancels_pkey PRIMARY KEY (endpoint);
ALTER TABLE ONLY hookfast.changes
    ADD CONSTRAINT changes_pkey PRIMARY KEY (no);
ALTER TABLE ONLY hookfast.cursors
    ADD CONSTRAINT cursors_pkey PRIMARY KEY (name);
ALTER TABLE ONLY hookfast.dedupe
    ADD CONSTRAINT dedupe_pkey PRIMARY KEY (day, key);
ALTER TABLE ONLY hookfast.dedupe_20457
    ADD CONSTRAINT dedupe_20457_pkey PRIMARY KEY (day, key);
ALTER TABLE ONLY hookfast.dedupe_20458
    ADD CONSTRAINT dedupe_20458_pkey PRIMARY KEY (day, key);
ALTER TABLE ONLY hookfast.dedupe_20459
    ADD CONSTRAINT dedupe_20459_pkey PRIMARY KEY (day, key);
ALTER TABLE ONLY hookfast.dedupe_20460
    ADD CONSTRAINT dedupe_20460_pkey PRIMARY KEY (day, key);
ALTER TABLE ONLY hookfast.dedupe_20461
    ADD CONSTRAINT dedupe_20461_pkey PRIMARY KEY (day, key);
ALTER TABLE ONLY hookfast.dedupe_20462
    ADD CONSTRAINT dedupe_20462_pkey PRIMARY KEY (day, key);
ALTER TABLE ONLY hookfast.dedupe_20463
    ADD CONSTRAINT dedupe_20463_pkey PRIMARY KEY (day, key);
ALTER TABLE ONLY hookfast.dedupe_20464
    ADD CONSTRAINT dedupe_20464_pkey PRIMARY KEY (day, key);
ALTER TABLE ONLY hookfast.dedupe_20465
    ADD CONSTRAINT dedupe_20465_pkey PRIMARY KEY (day, key);
ALTER TABLE ONLY hookfast.dedupe_rest
    ADD CONSTRAINT dedupe_rest_pkey PRIMARY KEY (day, key);
ALTER TABLE ONLY hookfast.deliveries
    ADD CONSTRAINT deliveries_pkey PRIMARY KEY (event, endpoint, run, retention_days);
ALTER TABLE ONLY hookfast.deliveries_90
    ADD CONSTRAINT deliveries_90_pkey PRIMARY KEY (event, endpoint, run, retention_days);
ALTER TABLE ONLY hookfast.deliveries_90_20454
    ADD CONSTRAINT deliveries_90_20454_pkey PRIMARY KEY (event, endpoint, run, retention_days);
ALTER TABLE ONLY hookfast.deliveries_90_20461
    ADD CONSTRAINT deliveries_90_20461_pkey PRIMARY KEY (event, endpoint, run, retention_days);
ALTER TABLE ONLY hookfast.deliveries_90_rest
    ADD CONSTRAINT deliveries_90_rest_pkey PRIMARY KEY (event, endpoint, run, retention_days);
ALTER TABLE ONLY hookfast.duties
    ADD CONSTRAINT duties_pkey PRIMARY KEY (name);
ALTER TABLE ONLY hookfast.endpoints
    ADD CONSTRAINT endpoints_id_key UNIQUE (id);
ALTER TABLE ONLY hookfast.endpoints
    ADD CONSTRAINT endpoints_pkey PRIMARY KEY (no);
ALTER TABLE ONLY hookfast.event_types
    ADD CONSTRAINT event_types_pkey PRIMARY KEY (org, name);
ALTER TABLE ONLY hookfast.events
    ADD CONSTRAINT events_pkey PRIMARY KEY (id, retention_days);
ALTER TABLE ONLY hookfast.events_90
    ADD CONSTRAINT events_90_pkey PRIMARY KEY (id, retention_days);
ALTER TABLE ONLY hookfast.events_90_20454
    ADD CONSTRAINT events_90_20454_pkey PRIMARY KEY (id, retention_days);
ALTER TABLE ONLY hookfast.events_90_20461
    ADD CONSTRAINT events_90_20461_pkey PRIMARY KEY (id, retention_days);
ALTER TABLE ONLY hookfast.events_90_rest
    ADD CONSTRAINT events_90_rest_pkey PRIMARY KEY (id, retention_days);
ALTER TABLE ONLY hookfast.fanout
    ADD CONSTRAINT fanout_pkey PRIMARY KEY (event);
ALTER TABLE ONLY hookfast.handoff
    ADD CONSTRAINT handoff_pkey PRIMARY KEY (incarnation, batch);
ALTER TABLE ONLY hookfast.migrations
    ADD CONSTRAINT migrations_pkey PRIMARY KEY (version);
ALTER TABLE ONLY hookfast.nodes
    ADD CONSTRAINT nodes_pkey PRIMARY KEY (incarnation);
ALTER TABLE ONLY hookfast.purged
    ADD CONSTRAINT purged_pkey PRIMARY KEY (retention_days);
ALTER TABLE ONLY hookfast.queue
    ADD CONSTRAINT queue_pkey PRIMARY KEY (event, endpoint, run);
ALTER TABLE ONLY hookfast.stats
    ADD CONSTRAINT stats_pkey PRIMARY KEY (endpoint, hour);
ALTER TABLE ONLY hookfast.tasks
    ADD CONSTRAINT tasks_pkey PRIMARY KEY (id);
ALTER TABLE ONLY hookfast.tokens
    ADD CONSTRAINT tokens_hash_key UNIQUE (hash);
ALTER TABLE ONLY hookfast.tokens
    ADD CONSTRAINT tokens_pkey PRIMARY KEY (id);
ALTER TABLE ONLY hookfast.uids
    ADD CONSTRAINT uids_pkey PRIMARY KEY (app, uid);
ALTER TABLE ONLY hookfast.urls
    ADD CONSTRAINT urls_pkey PRIMARY KEY (no);
ALTER TABLE ONLY hookfast.urls
    ADD CONSTRAINT urls_url_key UNIQUE (url);
CREATE INDEX applications_live ON hookfast.applications USING btree (org, id) WHERE (deleted_at IS NULL);
CREATE UNIQUE INDEX applications_uid ON hookfast.applications USING btree (org, uid) WHERE ((uid IS NOT NULL) AND (deleted_at IS NULL));
CREATE INDEX attempts_endpoint ON ONLY hookfast.attempts USING btree (endpoint, id);
CREATE INDEX attempts_90_endpoint_id_idx ON ONLY hookfast.attempts_90 USING btree (endpoint, id);
CREATE INDEX attempts_90_20454_endpoint_id_idx ON hookfast.attempts_90_20454 USING btree (endpoint, id);
CREATE INDEX attempts_90_20461_endpoint_id_idx ON hookfast.attempts_90_20461 USING btree (endpoint, id);
CREATE INDEX attempts_90_rest_endpoint_id_idx ON hookfast.attempts_90_rest USING btree (endpoint, id);
CREATE INDEX changes_at ON hookfast.changes USING btree (at);
CREATE INDEX deliveries_endpoint ON ONLY hookfast.deliveries USING btree (endpoint, attempt);
CREATE INDEX deliveries_90_endpoint_attempt_idx ON ONLY hookfast.deliveries_90 USING btree (endpoint, attempt);
CREATE INDEX deliveries_90_20454_endpoint_attempt_idx ON hookfast.deliveries_90_20454 USING btree (endpoint, attempt);
CREATE INDEX deliveries_90_20461_endpoint_attempt_idx ON hookfast.deliveries_90_20461 USING btree (endpoint, attempt);
CREATE INDEX deliveries_90_rest_endpoint_attempt_idx ON hookfast.deliveries_90_rest USING btree (endpoint, attempt);
CREATE INDEX endpoints_live ON hookfast.endpoints USING btree (app, id) WHERE (deleted_at IS NULL);
CREATE INDEX endpoints_troubled ON hookfast.endpoints USING btree (no) WHERE ((deleted_at IS NULL) AND ((disabled IS NOT NULL) OR (failing_since IS NOT NULL)));
CREATE UNIQUE INDEX endpoints_uid ON hookfast.endpoints USING btree (app, uid) WHERE ((uid IS NOT NULL) AND (deleted_at IS NULL));
CREATE INDEX events_app ON ONLY hookfast.events USING btree (app, id);
CREATE INDEX events_90_app_id_idx ON ONLY hookfast.events_90 USING btree (app, id);
CREATE INDEX events_90_20454_app_id_idx ON hookfast.events_90_20454 USING btree (app, id);
CREATE INDEX events_90_20461_app_id_idx ON hookfast.events_90_20461 USING btree (app, id);
CREATE INDEX events_90_rest_app_id_idx ON hookfast.events_90_rest USING btree (app, id);
CREATE INDEX queue_due ON hookfast.queue USING btree (endpoint, due) WHERE (lease_owner IS NULL);
CREATE INDEX queue_leased ON hookfast.queue USING btree (lease_owner) WHERE (lease_owner IS NOT NULL);
CREATE INDEX tasks_running ON hookfast.tasks USING btree (id) WHERE (status = 0);
CREATE INDEX uids_event ON hookfast.uids USING btree (event);
ALTER INDEX hookfast.attempts_90_endpoint_id_idx ATTACH PARTITION hookfast.attempts_90_20454_endpoint_id_idx;
ALTER INDEX hookfast.attempts_90_pkey ATTACH PARTITION hookfast.attempts_90_20454_pkey;
ALTER INDEX hookfast.attempts_90_endpoint_id_idx ATTACH PARTITION hookfast.attempts_90_20461_endpoint_id_idx;
ALTER INDEX hookfast.attempts_90_pkey ATTACH PARTITION hookfast.attempts_90_20461_pkey;
ALTER INDEX hookfast.attempts_endpoint ATTACH PARTITION hookfast.attempts_90_endpoint_id_idx;
ALTER INDEX hookfast.attempts_pkey ATTACH PARTITION hookfast.attempts_90_pkey;
ALTER INDEX hookfast.attempts_90_endpoint_id_idx ATTACH PARTITION hookfast.attempts_90_rest_endpoint_id_idx;
ALTER INDEX hookfast.attempts_90_pkey ATTACH PARTITION hookfast.attempts_90_rest_pkey;
ALTER INDEX hookfast.dedupe_pkey ATTACH PARTITION hookfast.dedupe_20457_pkey;
ALTER INDEX hookfast.dedupe_pkey ATTACH PARTITION hookfast.dedupe_20458_pkey;
ALTER INDEX hookfast.dedupe_pkey ATTACH PARTITION hookfast.dedupe_20459_pkey;
ALTER INDEX hookfast.dedupe_pkey ATTACH PARTITION hookfast.dedupe_20460_pkey;
ALTER INDEX hookfast.dedupe_pkey ATTACH PARTITION hookfast.dedupe_20461_pkey;
ALTER INDEX hookfast.dedupe_pkey ATTACH PARTITION hookfast.dedupe_20462_pkey;
ALTER INDEX hookfast.dedupe_pkey ATTACH PARTITION hookfast.dedupe_20463_pkey;
ALTER INDEX hookfast.dedupe_pkey ATTACH PARTITION hookfast.dedupe_20464_pkey;
ALTER INDEX hookfast.dedupe_pkey ATTACH PARTITION hookfast.dedupe_20465_pkey;
ALTER INDEX hookfast.dedupe_pkey ATTACH PARTITION hookfast.dedupe_rest_pkey;
ALTER INDEX hookfast.deliveries_90_endpoint_attempt_idx ATTACH PARTITION hookfast.deliveries_90_20454_endpoint_attempt_idx;
ALTER INDEX hookfast.deliveries_90_pkey ATTACH PARTITION hookfast.deliveries_90_20454_pkey;
ALTER INDEX hookfast.deliveries_90_endpoint_attempt_idx ATTACH PARTITION hookfast.deliveries_90_20461_endpoint_attempt_idx;
ALTER INDEX hookfast.deliveries_90_pkey ATTACH PARTITION hookfast.deliveries_90_20461_pkey;
ALTER INDEX hookfast.deliveries_endpoint ATTACH PARTITION hookfast.deliveries_90_endpoint_attempt_idx;
ALTER INDEX hookfast.deliveries_pkey ATTACH PARTITION hookfast.deliveries_90_pkey;
ALTER INDEX hookfast.deliveries_90_endpoint_attempt_idx ATTACH PARTITION hookfast.deliveries_90_rest_endpoint_attempt_idx;
ALTER INDEX hookfast.deliveries_90_pkey ATTACH PARTITION hookfast.deliveries_90_rest_pkey;
ALTER INDEX hookfast.events_90_app_id_idx ATTACH PARTITION hookfast.events_90_20454_app_id_idx;
ALTER INDEX hookfast.events_90_pkey ATTACH PARTITION hookfast.events_90_20454_pkey;
ALTER INDEX hookfast.events_90_app_id_idx ATTACH PARTITION hookfast.events_90_20461_app_id_idx;
ALTER INDEX hookfast.events_90_pkey ATTACH PARTITION hookfast.events_90_20461_pkey;
ALTER INDEX hookfast.events_app ATTACH PARTITION hookfast.events_90_app_id_idx;
ALTER INDEX hookfast.events_pkey ATTACH PARTITION hookfast.events_90_pkey;
ALTER INDEX hookfast.events_90_app_id_idx ATTACH PARTITION hookfast.events_90_rest_app_id_idx;
ALTER INDEX hookfast.events_90_pkey ATTACH PARTITION hookfast.events_90_rest_pkey;
ALTER TABLE ONLY hookfast.endpoints
    ADD CONSTRAINT endpoints_app_fkey FOREIGN KEY (app) REFERENCES hookfast.applications(no);
