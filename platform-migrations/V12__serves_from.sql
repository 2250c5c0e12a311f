-- Why: a release that meets a newer schema than its own must know whether it can serve from it.
-- Locks: none that matter, the function is new.
-- Earlier releases: don't ask.

-- The oldest of the platform's migrations that a release may have as its newest and still serve. A migration that takes away what
-- earlier releases use replaces this function.
create function platform_serves_from() returns integer
language sql immutable parallel safe
return 12;
revoke all on function platform_serves_from() from public;
grant execute on function platform_serves_from() to rowhouse_control, rowhouse_data;
