-- What each node does, by the words of `server.roles`; empty for a command. NULL: its version did not say.
ALTER TABLE nodes ADD COLUMN roles text[];
