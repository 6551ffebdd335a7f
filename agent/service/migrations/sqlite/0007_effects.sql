-- What a removed job left in its customer's account, until it is gone from there too.
ALTER TABLE effect ADD COLUMN sealed BLOB;

-- Stops of copies are asked for in every round, however much else waits.
CREATE INDEX effect_stop ON effect (id) WHERE (substr(what, 1, 11) = '{"StopCopy"');
