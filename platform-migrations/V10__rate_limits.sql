-- Why: a tenant or a key may be given another rate limit than its tier's. Both parts are null where the tier's holds; nought a
-- second is no limit at all.
-- Locks: ACCESS EXCLUSIVE for a moment on tenants and tenant_api_keys, which are read once for the checks.
-- Earlier releases: they set no limits and see none of this. They read again all that they remember at a notice `rate_limit`.
-- rowhouse: allow constraint-missing-not-valid all rows hold by the columns' being new, and neither table has a million

alter table tenants
    add column rate_per_second integer,
    add column rate_burst integer,
    add constraint tenants_rate_limit_check check (
        (rate_per_second is null and rate_burst is null)
        or (rate_per_second is not null and rate_burst is not null and rate_per_second between 0 and 1000000
            and rate_burst between 0 and 1000000 and (rate_per_second = 0 or rate_burst > 0)));
alter table tenant_api_keys
    add column rate_per_second integer,
    add column rate_burst integer,
    add constraint tenant_api_keys_rate_limit_check check (
        (rate_per_second is null and rate_burst is null)
        or (rate_per_second is not null and rate_burst is not null and rate_per_second between 0 and 1000000
            and rate_burst between 0 and 1000000 and (rate_per_second = 0 or rate_burst > 0)));

-- Another kind than `tenant`, at which a tenant's connections are closed: they are none the worse for another limit.
create constraint trigger tenants_auth_notice_of_rate_limit after update on tenants
    deferrable initially deferred for each row
    when ((old.rate_per_second, old.rate_burst) is distinct from (new.rate_per_second, new.rate_burst))
    execute function auth_notice('rate_limit');
create constraint trigger tenant_api_keys_auth_notice_of_rate_limit after update on tenant_api_keys
    deferrable initially deferred for each row
    when ((old.rate_per_second, old.rate_burst) is distinct from (new.rate_per_second, new.rate_burst))
    execute function auth_notice('key');

grant select (rate_per_second, rate_burst) on tenants to rowhouse_data;
