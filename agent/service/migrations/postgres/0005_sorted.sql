-- Lists of jobs are sorted by what was changed last, and by name.
CREATE INDEX job_changed ON job (modified_at, id);
CREATE INDEX job_named ON job (name_key, id);
