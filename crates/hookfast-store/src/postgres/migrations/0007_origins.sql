-- Where an event came in, and who handed it over; NULL for events of earlier versions and of nodes that run one.
ALTER TABLE events ADD COLUMN source text;
ALTER TABLE events ADD COLUMN accepted_by text;
