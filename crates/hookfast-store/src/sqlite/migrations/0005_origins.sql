-- Where an event came in, and who handed it over; NULL for events of earlier versions. They stand behind the body, so they
-- are read only with it.
ALTER TABLE events ADD COLUMN source TEXT;
ALTER TABLE events ADD COLUMN accepted_by TEXT;
