-- What did not arrive is looked for among many that did.
CREATE INDEX deliveries_undelivered ON deliveries (endpoint, attempt) WHERE state <> 2;
