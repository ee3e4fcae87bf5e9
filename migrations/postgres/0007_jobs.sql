-- What lasting work needs: pauses, rooms by instance, groups, and progress in units with a rate. Kept in step with
-- sqlite/0007_jobs.sql.

-- Since when somebody has wanted it to rest; nobody runs it until that is taken back.
ALTER TABLE jobs ADD COLUMN paused_at BIGINT;
-- The instance whose service it works on: only so many of one run at a time.
ALTER TABLE jobs ADD COLUMN instance TEXT;
-- Jobs that were asked for together.
ALTER TABLE jobs ADD COLUMN group_id TEXT;
-- items | bytes | requests
ALTER TABLE jobs ADD COLUMN progress_unit TEXT;
-- Thousandths of a unit per second.
ALTER TABLE jobs ADD COLUMN progress_rate BIGINT;
