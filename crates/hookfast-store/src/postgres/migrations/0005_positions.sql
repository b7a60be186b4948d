-- How far each consumer has read a topic of the log: the offset of the record that comes next. Rows are written in the
-- transaction that stores what was read, and only ever grow.
CREATE TABLE positions (
  consumer_group text NOT NULL COLLATE "C",
  topic text NOT NULL COLLATE "C",
  partition integer NOT NULL,
  next bigint NOT NULL,
  PRIMARY KEY (consumer_group, topic, partition)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000,
        autovacuum_vacuum_cost_delay = 0);
