-- How many jobs are in each state, kept with every change: counting them takes longer the more jobs there are.
CREATE TABLE job_count (
    state TEXT PRIMARY KEY,
    count INTEGER NOT NULL
) STRICT;

INSERT INTO job_count (state, count) SELECT state, count(*) FROM job GROUP BY state;

CREATE TRIGGER job_is_counted AFTER INSERT ON job BEGIN
    INSERT INTO job_count (state, count) VALUES (NEW.state, 1) ON CONFLICT (state) DO UPDATE SET count = count + 1;
END;
CREATE TRIGGER job_is_counted_elsewhere AFTER UPDATE OF state ON job WHEN OLD.state <> NEW.state BEGIN
    UPDATE job_count SET count = count - 1 WHERE state = OLD.state;
    INSERT INTO job_count (state, count) VALUES (NEW.state, 1) ON CONFLICT (state) DO UPDATE SET count = count + 1;
END;
CREATE TRIGGER job_is_not_counted_any_more AFTER DELETE ON job BEGIN
    UPDATE job_count SET count = count - 1 WHERE state = OLD.state;
END;
