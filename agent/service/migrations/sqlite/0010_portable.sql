-- What is found in any case of its letters has a column of its own, in lower case, as every database engine compares it. The
-- first columns keep the customer's spelling.
ALTER TABLE job ADD COLUMN subscription_key TEXT NOT NULL DEFAULT '';
ALTER TABLE job ADD COLUMN resource_group_key TEXT NOT NULL DEFAULT '';
ALTER TABLE job ADD COLUMN name_key TEXT NOT NULL DEFAULT '';
-- The storage account: jobs of one account have different names. NULL is not known yet.
ALTER TABLE job ADD COLUMN account_key TEXT;
UPDATE job SET subscription_key = lower(subscription), resource_group_key = lower(resource_group), name_key = lower(name);

DROP INDEX job_of_subscription;
DROP INDEX job_of_group;
DROP INDEX job_name;
CREATE UNIQUE INDEX job_path ON job (subscription_key, resource_group_key, name_key);
CREATE INDEX job_of_subscription ON job (subscription_key, id);
CREATE INDEX job_of_group ON job (subscription_key, resource_group_key, id);
CREATE INDEX job_name ON job (name_key, account_key);
CREATE INDEX job_account_unknown ON job (id) WHERE account_key IS NULL;

-- The serial numbers are in lower case since 0002, but for those that it took over.
UPDATE job_drive SET drive_id = lower(drive_id);
ALTER TABLE job_drive RENAME COLUMN drive_id TO drive_key;

-- How many jobs each subscription has: there is a limit, and counting takes longer the more there are.
CREATE TABLE subscription_count (
    subscription_key TEXT PRIMARY KEY,
    count            INTEGER NOT NULL
) STRICT;
INSERT INTO subscription_count (subscription_key, count) SELECT subscription_key, count(*) FROM job GROUP BY subscription_key;
