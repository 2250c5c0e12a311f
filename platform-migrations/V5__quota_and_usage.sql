-- Why: storage is reserved before bytes are written, at organization, tenant and account; usage events are what bills are made of.
-- The data plane writes here through these functions alone.
-- Locks: none that matter, the tables are new; short share locks on organizations, tenants and accounts for the foreign keys.

create table quota_reservations (
    id uuid not null default gen_random_uuid(),
    organization_id uuid not null,
    tenant_id uuid not null,
    account_id uuid,
    bytes bigint not null,
    -- Workspaces about to be made or restored: they are in the counts already, and leave them when it is given back.
    workspaces integer not null default 0,
    -- Leased by a replica of the data plane, which gives it to uploads. Each one's usage event takes its bytes out of it; what
    -- is left of it comes back by a release alone.
    is_block boolean not null default false,
    expires_at timestamptz not null,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint quota_reservations_pkey primary key (id),
    constraint quota_reservations_organization_id_fkey foreign key (organization_id) references organizations (id),
    constraint quota_reservations_tenant_id_fkey foreign key (tenant_id) references tenants (id),
    constraint quota_reservations_account_id_fkey foreign key (account_id) references accounts (id),
    constraint quota_reservations_bytes_check check (bytes >= 0),
    constraint quota_reservations_workspaces_check check (workspaces >= 0)
);
create index quota_reservations_organization_id_idx on quota_reservations (organization_id);
create index quota_reservations_tenant_id_idx on quota_reservations (tenant_id);
create index quota_reservations_account_id_idx on quota_reservations (account_id);
create index quota_reservations_expires_at_idx on quota_reservations (expires_at, id);
create trigger quota_reservations_set_updated_at before update on quota_reservations for each row execute function set_updated_at();

-- What each tenant has charged to accounts of its organization's own, so that a purge can take it off again when nobody can count it
-- any more. A tenant's own accounts have no shares. One may be below zero for a moment: events come in any order.
create table account_shares (
    account_id uuid not null,
    tenant_id uuid not null,
    used_storage bigint not null default 0,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint account_shares_pkey primary key (account_id, tenant_id),
    constraint account_shares_account_id_fkey foreign key (account_id) references accounts (id) on delete cascade,
    constraint account_shares_tenant_id_fkey foreign key (tenant_id) references tenants (id) on delete cascade
) with (fillfactor = 70);
create index account_shares_tenant_id_idx on account_shares (tenant_id);
create trigger account_shares_set_updated_at before update on account_shares for each row execute function set_updated_at();

-- The time comes first in the key, so that an event that is sent again, with its own id and time, meets itself.
-- No foreign keys: usage outlives what it was used by, and every append would lock the organization's row.
create table org_usage_logs (
    id uuid not null,
    organization_id uuid not null,
    tenant_id uuid,
    timestamp timestamptz not null,
    event_type text not null,
    quantity bigint not null,
    unit text not null,
    details jsonb not null default '{}',
    created_at timestamptz not null default now(),
    constraint org_usage_logs_pkey primary key (timestamp, id),
    constraint org_usage_logs_event_type_check check (event_type ~ '^[a-z][a-z0-9_]{0,62}$'),
    constraint org_usage_logs_unit_check check (unit ~ '^[a-z][a-z0-9_]{0,62}$'),
    constraint org_usage_logs_details_check check (jsonb_typeof(details) = 'object')
) partition by range (timestamp);
create table org_usage_logs_default partition of org_usage_logs default;
create index org_usage_logs_organization_id_idx on org_usage_logs (organization_id, timestamp, id);
create index org_usage_logs_tenant_id_idx on org_usage_logs (tenant_id, timestamp);
create index org_usage_logs_event_type_idx on org_usage_logs (event_type, timestamp);
create index org_usage_logs_details_idx on org_usage_logs using gin (details jsonb_path_ops);

create table tenant_usage_logs (
    id uuid not null,
    tenant_id uuid not null,
    timestamp timestamptz not null,
    event_type text not null,
    quantity bigint not null,
    unit text not null,
    details jsonb not null default '{}',
    created_at timestamptz not null default now(),
    constraint tenant_usage_logs_pkey primary key (timestamp, id),
    constraint tenant_usage_logs_event_type_check check (event_type ~ '^[a-z][a-z0-9_]{0,62}$'),
    constraint tenant_usage_logs_unit_check check (unit ~ '^[a-z][a-z0-9_]{0,62}$'),
    constraint tenant_usage_logs_details_check check (jsonb_typeof(details) = 'object')
) partition by range (timestamp);
create table tenant_usage_logs_default partition of tenant_usage_logs default;
create index tenant_usage_logs_tenant_id_idx on tenant_usage_logs (tenant_id, timestamp, id);
create index tenant_usage_logs_event_type_idx on tenant_usage_logs (event_type, timestamp);
create index tenant_usage_logs_details_idx on tenant_usage_logs using gin (details jsonb_path_ops);

-- Says that a tenant may have jobs from `due` on. To be called before the tenant's own commit.
create function work_mark(tenant uuid, due timestamptz default now()) returns bigint
language sql security definer
set search_path = pg_catalog, public, pg_temp
as $$
    insert into tenant_work as work (tenant_id, generation, marked_at, due_at)
    values (tenant, nextval('tenant_work_generation_seq'), clock_timestamp(), due)
    on conflict (tenant_id) do update
    set generation = excluded.generation, marked_at = excluded.marked_at, due_at = least(work.due_at, excluded.due_at)
    returning generation
$$;

-- Takes the mark away if it is still the one that was seen, and says whether it did.
-- A mark is set before the tenant's transaction commits, so "I looked and found nothing" proves nothing about a young one,
-- nor while an upload holds a reservation: then the tenant is looked at again in a moment, whatever else is due later. For a
-- block of quota there is a time of its own in the tenant's data.
create function work_clear(tenant uuid, generation bigint, next_due timestamptz default null, grace interval default '15 seconds')
returns boolean
language plpgsql security definer
set search_path = pg_catalog, public, pg_temp
as $$
#variable_conflict use_column
begin
    if next_due is null then
        delete from tenant_work
        where tenant_id = tenant and generation = work_clear.generation and marked_at <= clock_timestamp() - grace
            and not exists (select from quota_reservations where quota_reservations.tenant_id = tenant);
        if found then
            return true;
        end if;
    end if;
    update tenant_work
    set due_at = case when marked_at > clock_timestamp() - grace then clock_timestamp() + interval '500 milliseconds'
        when next_due is null or exists (
            select from quota_reservations where quota_reservations.tenant_id = tenant and not is_block
        ) then least(next_due, clock_timestamp() + interval '2 seconds')
        else next_due end
    where tenant_id = tenant and generation = work_clear.generation;
    return false;
end
$$;

-- The tenants that are due, longest waiting first.
create function work_list("limit" integer) returns table (tenant_id uuid, generation bigint, due_at timestamptz)
language sql security definer
set search_path = pg_catalog, public, pg_temp
as $$
    select work.tenant_id, work.generation, work.due_at
    from tenant_work work join tenants on tenants.id = work.tenant_id
    where work.due_at <= clock_timestamp() and tenants.status = 'active'
    order by work.due_at, work.tenant_id
    limit "limit"
$$;

-- Reserves `bytes` for an upload, or more for one that has a reservation already. Every writer of the counters takes its
-- locks in the order organization, tenant, account, so they queue and never deadlock. A refusal changes nothing and says
-- which level refused, its quota, and what is used and reserved there. `held` is what the reservation comes to: less than
-- the caller has asked for in all where an earlier one was given back meanwhile. `workspaces` that are about to be made or restored
-- are counted at once, by the same reservation; of these the level is `workspaces`, and the quota how many there may be.
create function quota_reserve(reservation uuid, tenant uuid, bytes bigint, ttl interval, account uuid default null,
    workspaces integer default 0)
returns table (granted boolean, level text, "limit" bigint, used bigint, held bigint)
language plpgsql security definer
set search_path = pg_catalog, public, pg_temp
as $$
#variable_conflict use_column
declare
    organization uuid;
    earlier quota_reservations;
    total bigint;
begin
    if quota_reserve.bytes < 0 or quota_reserve.workspaces < 0 then
        raise exception 'a reservation can''t be negative' using errcode = 'invalid_parameter_value';
    end if;
    select organization_id into organization from tenants where id = tenant;
    if organization is null then
        raise exception 'tenant % does not exist', tenant using errcode = 'no_data_found';
    end if;

    update organizations set reserved_storage = reserved_storage + quota_reserve.bytes
    where id = organization
        -- Nothing more is always granted: what was reserved stays so when a quota is lowered below it.
        and (quota_reserve.bytes = 0 or used_storage + reserved_storage + quota_reserve.bytes <= storage_quota);
    if not found then
        return query select false, 'organization', storage_quota, used_storage + reserved_storage, null::bigint
            from organizations where id = organization;
        return;
    end if;

    if quota_reserve.workspaces > 0 then
        return query select false, 'workspaces', max_workspaces::bigint, used_workspaces::bigint, null::bigint
            from organizations where id = organization and used_workspaces + quota_reserve.workspaces > max_workspaces;
        if found then
            update organizations set reserved_storage = reserved_storage - quota_reserve.bytes where id = organization;
            return;
        end if;
    end if;

    update tenants set reserved_storage = reserved_storage + quota_reserve.bytes
    where id = tenant and (quota_reserve.bytes = 0 or storage_quota is null
        or used_storage + reserved_storage + quota_reserve.bytes <= storage_quota);
    if not found then
        update organizations set reserved_storage = reserved_storage - quota_reserve.bytes where id = organization;
        return query select false, 'tenant', storage_quota, used_storage + reserved_storage, null::bigint from tenants where id = tenant;
        return;
    end if;

    select * into earlier from quota_reservations where id = reservation;
    account := coalesce(earlier.account_id, account);
    if account is not null then
        update accounts set reserved_storage = reserved_storage + quota_reserve.bytes
        where id = account and (quota_reserve.bytes = 0 or storage_quota is null
        or used_storage + reserved_storage + quota_reserve.bytes <= storage_quota);
        if not found then
            update tenants set reserved_storage = reserved_storage - quota_reserve.bytes where id = tenant;
            update organizations set reserved_storage = reserved_storage - quota_reserve.bytes where id = organization;
            return query select false, 'account', storage_quota, used_storage + reserved_storage, null::bigint
                from accounts where id = account;
            if not found then
                raise exception 'account % does not exist', account using errcode = 'no_data_found';
            end if;
            return;
        end if;
    end if;

    insert into quota_reservations as existing (id, organization_id, tenant_id, account_id, bytes, workspaces, expires_at)
    values (reservation, organization, tenant, account, quota_reserve.bytes, quota_reserve.workspaces, clock_timestamp() + ttl)
    on conflict (id) do update set bytes = existing.bytes + excluded.bytes, workspaces = existing.workspaces + excluded.workspaces,
        -- One that is being committed stays until it is settled or released.
        expires_at = greatest(existing.expires_at, excluded.expires_at)
    where existing.tenant_id = excluded.tenant_id
    returning bytes into total;
    if total is null then
        raise exception 'reservation % belongs to another tenant', reservation using errcode = 'invalid_parameter_value';
    end if;
    if quota_reserve.workspaces > 0 then
        perform workspace_count(organization, tenant, quota_reserve.workspaces);
    end if;
    perform work_mark(tenant);
    return query select true, null::text, null::bigint, null::bigint, total;
end
$$;

-- To be called before the tenant's commit that makes `bytes` permanent: from here on time alone no longer ends the
-- reservation, but only the usage event that the commit queues, or a release by whoever finds that the commit never came.
-- So what is committed is reserved or used at any moment, however long the event takes. False where so much is not held
-- any more: then nothing may be committed.
create function quota_commit(reservation uuid, tenant uuid, bytes bigint) returns boolean
language plpgsql security definer
set search_path = pg_catalog, public, pg_temp
as $$
#variable_conflict use_column
begin
    update quota_reservations set expires_at = 'infinity'
    where id = reservation and tenant_id = tenant and bytes >= quota_commit.bytes;
    return found;
end
$$;

-- The tenant's reservations that time alone does not end. One that nothing in the tenant's data stands for any more, neither an
-- upload under way nor an event to be counted, was left behind, and is to be released. To be asked before the tenant.
create function quota_committing(tenant uuid) returns setof uuid
language sql stable security definer
set search_path = pg_catalog, public, pg_temp
as $$
    select id from quota_reservations where tenant_id = tenant and expires_at = 'infinity' and not is_block
$$;

-- Ends a reservation and moves what it came to: `stored` bytes from reserved to used. Not for callers.
create function quota_settle(reservation uuid, organization uuid, tenant uuid, account uuid, stored bigint) returns boolean
language plpgsql
set search_path = pg_catalog, public, pg_temp
as $$
declare
    ended quota_reservations;
begin
    -- The organization's lock comes first; who loses the race for it finds the reservation gone.
    perform from organizations where id = organization for no key update;
    delete from quota_reservations where id = reservation returning * into ended;
    account := coalesce(ended.account_id, account);
    if ended.id is null and stored = 0 then
        return false;
    end if;
    update organizations set reserved_storage = reserved_storage - coalesce(ended.bytes, 0),
        used_storage = greatest(0, used_storage + stored) where id = organization;
    update tenants set reserved_storage = reserved_storage - coalesce(ended.bytes, 0),
        used_storage = greatest(0, used_storage + stored) where id = tenant;
    update accounts set reserved_storage = reserved_storage - coalesce(ended.bytes, 0),
        used_storage = greatest(0, used_storage + stored) where id = account;
    if ended.workspaces > 0 then
        perform workspace_count(organization, tenant, -ended.workspaces);
    end if;
    return ended.id is not null;
end
$$;

-- Leases a block to a replica of the data plane and says how large it is; not at all where `smallest` is more than a hundredth
-- of what is left at the tightest level: near a limit each upload asks for itself. Blocks never hold more than a tenth of what is
-- left to an organization, however many tenants and replicas it has.
create function quota_lease(block uuid, tenant uuid, smallest bigint, largest bigint, ttl interval, account uuid default null)
returns bigint
language plpgsql security definer
set search_path = pg_catalog, public, pg_temp
as $$
#variable_conflict use_column
declare
    organization uuid;
    room bigint;
    leased bigint;
    size bigint;
begin
    select organization_id into organization from tenants where id = tenant;
    -- Held until the end, so that nobody takes what is measured here.
    select storage_quota - used_storage - reserved_storage into room from organizations where id = organization for no key update;
    select coalesce(sum(bytes), 0) into leased from quota_reservations where organization_id = organization and is_block;
    size := least(room / 100, (room + leased) / 10 - leased, largest);
    select least(size, (storage_quota - used_storage - reserved_storage) / 100) into size from tenants where id = tenant;
    if account is not null then
        select least(size, (storage_quota - used_storage - reserved_storage) / 100) into size from accounts where id = account;
    end if;
    if size is null or size < greatest(smallest, 1) then
        return null;
    end if;
    if not (select granted from quota_reserve(block, tenant, size, ttl, account)) then
        return null;
    end if;
    update quota_reservations set is_block = true where id = block;
    return size;
end
$$;

-- Gives back what of a block, or of the reservation of an upload in parts, was not spent and will not be. Says whether there was so
-- much, and it may go: what an upload commits is counted on as it is, and ends with the upload.
create function quota_give_back(reservation uuid, unspent bigint) returns boolean
language plpgsql security definer
set search_path = pg_catalog, public, pg_temp
as $$
declare
    held quota_reservations;
begin
    select * into held from quota_reservations where id = reservation;
    perform from organizations where id = held.organization_id for no key update;
    update quota_reservations set bytes = bytes - unspent where id = reservation and unspent between 0 and bytes
        and (is_block or expires_at <> 'infinity');
    if not found then
        return false;
    end if;
    update organizations set reserved_storage = reserved_storage - unspent where id = held.organization_id;
    update tenants set reserved_storage = reserved_storage - unspent where id = held.tenant_id;
    update accounts set reserved_storage = reserved_storage - unspent where id = held.account_id;
    return true;
end
$$;

-- Adds what other reservations of the tenant hold to one of the same account, and ends them: what came in pieces becomes one upload.
-- Says how much that was. What an upload commits is counted on as it is, and blocks are many uploads'.
create function quota_hand_over(sources uuid[], reservation uuid, tenant uuid) returns bigint
language plpgsql security definer
set search_path = pg_catalog, public, pg_temp
as $$
declare
    receiver quota_reservations;
    handed_over bigint;
begin
    -- The organization's lock comes first: whoever ends a reservation holds it.
    perform from organizations where id = (select organization_id from tenants where id = tenant) for no key update;
    select * into receiver from quota_reservations
        where id = reservation and tenant_id = tenant and expires_at <> 'infinity' and not is_block;
    if receiver.id is null then
        return 0;
    end if;
    with ended as (
        delete from quota_reservations
        where id = any(sources) and id <> reservation and tenant_id = tenant and account_id is not distinct from receiver.account_id
            and expires_at <> 'infinity' and not is_block
        returning bytes
    )
    select coalesce(sum(bytes), 0) into handed_over from ended;
    update quota_reservations set bytes = bytes + handed_over where id = reservation;
    return handed_over;
end
$$;

-- Gives a reservation back, once: an upload that failed, or what is left of a block. Says whether there was one.
create function quota_release(reservation uuid) returns boolean
language plpgsql security definer
set search_path = pg_catalog, public, pg_temp
as $$
declare
    held quota_reservations;
    released boolean;
begin
    select * into held from quota_reservations where id = reservation;
    if held.id is null then
        return false;
    end if;
    released := quota_settle(held.id, held.organization_id, held.tenant_id, null, 0);
    if released then
        perform work_mark(held.tenant_id);
    end if;
    return released;
end
$$;

-- Gives back reservations that nobody came back for, and says how many. What is being committed has no end of its own.
create function quota_expire("limit" integer default 100) returns integer
language plpgsql security definer
set search_path = pg_catalog, public, pg_temp
as $$
declare
    held quota_reservations;
    released integer := 0;
begin
    for held in
        select * from (
            select * from quota_reservations where expires_at < clock_timestamp() order by expires_at, id limit "limit"
        ) expired order by organization_id, tenant_id, account_id, id
    loop
        perform from organizations where id = held.organization_id for no key update;
        -- Extended, or being committed, in the meantime; the lock keeps either from coming now.
        perform from quota_reservations where id = held.id and expires_at < clock_timestamp() for update;
        continue when not found;
        if quota_settle(held.id, held.organization_id, held.tenant_id, null, 0) then
            perform work_mark(held.tenant_id);
            released := released + 1;
        end if;
    end loop;
    return released;
end
$$;

-- Moves the count of a tenant's live workspaces by `change`, never below zero, and its organization's by as much: a deleted
-- tenant's are not in that one, they leave it and come back with the tenant. Not for callers.
create function workspace_count(organization uuid, tenant uuid, change bigint) returns void
language plpgsql
set search_path = pg_catalog, public, pg_temp
as $$
declare
    counted tenants;
begin
    -- The organization's lock comes first; whoever deletes or restores a tenant holds it too.
    perform from organizations where id = organization for no key update;
    select * into counted from tenants where id = tenant for no key update;
    change := greatest(-counted.used_workspaces, change);
    update tenants set used_workspaces = used_workspaces + change where id = tenant;
    if counted.deleted_at is null then
        update organizations set used_workspaces = greatest(0, used_workspaces + change) where id = organization;
    end if;
end
$$;

-- Records usage events of a tenant, each once, and says how many were new. Those of `storage` move the used bytes (down too, never
-- below zero) and end their reservations, or take their parts out of blocks; those of `workspaces` move their count. An event's time
-- must be the same whenever it is sent again. However many there are, each row that counts them is written once.
create function usage_record_all(tenant uuid, events uuid[], times timestamptz[], event_types text[], quantities bigint[],
    units text[], details jsonb[] default null, reservations uuid[] default null, accounts uuid[] default null)
returns bigint
language plpgsql security definer
set search_path = pg_catalog, public, pg_temp
as $$
#variable_conflict use_column
declare
    organization uuid;
    has_reservations boolean := coalesce(array_remove(reservations, null) <> '{}', false);
    fresh uuid[];
    held quota_reservations[];
    counted bigint;
    charged uuid[];
    stored_by bigint[];
    freed_by bigint[];
begin
    select organization_id into organization from tenants where id = tenant;
    if organization is null then
        raise exception 'tenant % does not exist', tenant using errcode = 'no_data_found';
    end if;
    if has_reservations or event_types && '{storage,workspaces}' then
        -- The organization's lock comes first; who loses the race for it finds reservations gone.
        perform from organizations where id = organization for no key update;
        held := array(select reservation from quota_reservations reservation where id = any(reservations) order by id for no key update);
    end if;

    with event as (
        select * from unnest(events, times, event_types, quantities, units, details)
            event (id, timestamp, event_type, quantity, unit, details)
    ), organizations_own as (
        insert into org_usage_logs (id, organization_id, tenant_id, timestamp, event_type, quantity, unit, details)
        select id, organization, tenant, timestamp, event_type, quantity, unit, coalesce(details, '{}') from event
        on conflict do nothing
    ), recorded as (
        insert into tenant_usage_logs (id, tenant_id, timestamp, event_type, quantity, unit, details)
        select id, tenant, timestamp, event_type, quantity, unit, coalesce(details, '{}') from event
        on conflict do nothing returning id
    )
    select coalesce(array_agg(id), '{}') into fresh from recorded;

    if has_reservations then
        update quota_reservations block set bytes = block.bytes - least(block.bytes, spent.bytes)
        from (
            select reservation, sum(quantity)::bigint as bytes
            from unnest(events, event_types, quantities, reservations) event (id, event_type, quantity, reservation)
            where event.id = any(fresh) and event_type = 'storage' group by reservation
        ) spent
        where block.id = spent.reservation and block.is_block;
        -- Whatever an event came to, and also one that was recorded before, ends its reservation.
        delete from quota_reservations where id = any(reservations) and not is_block;
    end if;

    -- An account and none: what they store more, and what is reserved no longer.
    select array_agg(account), array_agg(stored), array_agg(freed) into charged, stored_by, freed_by
    from (
        select account, sum(stored)::bigint as stored, sum(freed)::bigint as freed
        from (
            select case when earlier.is_block then earlier.account_id else coalesce(earlier.account_id, event.account) end as account,
                event.quantity as stored, 0 as freed
            from unnest(events, event_types, quantities, reservations, accounts) event (id, event_type, quantity, reservation, account)
            left join unnest(held) earlier on earlier.id = event.reservation
            where event.id = any(fresh) and event_type = 'storage'
            union all
            select earlier.account_id, 0, earlier.bytes - coalesce(rest.bytes, 0)
            from unnest(held) earlier left join quota_reservations rest on rest.id = earlier.id
        ) moved
        group by account
    ) charge;
    if charged is not null then
        update organizations set reserved_storage = reserved_storage - freed, used_storage = greatest(0, used_storage + stored)
            from (select sum(stored)::bigint as stored, sum(freed)::bigint as freed from unnest(stored_by, freed_by) charge (stored, freed)) moved
            where id = organization;
        update tenants set reserved_storage = reserved_storage - freed, used_storage = greatest(0, used_storage + stored)
            from (select sum(stored)::bigint as stored, sum(freed)::bigint as freed from unnest(stored_by, freed_by) charge (stored, freed)) moved
            where id = tenant;
    end if;
    if array_remove(charged, null) <> '{}' then
        update accounts set reserved_storage = reserved_storage - freed, used_storage = greatest(0, used_storage + stored)
            from unnest(charged, stored_by, freed_by) charge (account, stored, freed) where accounts.id = charge.account;
        insert into account_shares as share (account_id, tenant_id, used_storage)
            select accounts.id, tenant, stored from unnest(charged, stored_by) charge (account, stored)
            join accounts on accounts.id = charge.account and accounts.tenant_id is null
            where stored <> 0
            on conflict (account_id, tenant_id) do update set used_storage = share.used_storage + excluded.used_storage;
    end if;

    -- What reservations have counted is counted.
    select coalesce(sum(quantity), 0) into counted from unnest(events, event_types, quantities) event (id, event_type, quantity)
        where event.id = any(fresh) and event_type = 'workspaces';
    select counted - coalesce(sum(workspaces), 0) into counted from unnest(held);
    if counted <> 0 then
        perform workspace_count(organization, tenant, counted);
    end if;
    -- The tenant has committed: whoever looked too early looks again.
    if has_reservations then
        perform work_mark(tenant);
    end if;
    return cardinality(fresh);
end
$$;

-- Records one, and says whether it was new.
create function usage_record(event uuid, tenant uuid, at timestamptz, event_type text, quantity bigint, unit text,
    details jsonb default '{}', reservation uuid default null, account uuid default null)
returns boolean
language sql
set search_path = pg_catalog, public, pg_temp
as $$
    select usage_record_all(tenant, array[event], array[at], array[event_type], array[quantity], array[unit], array[details],
        array[reservation], array[account]) > 0
$$;

-- What a tenant used in a period, by steps of the calendar in UTC (`hour`, `day`, `month`) and by what was used.
create function usage_buckets(tenant uuid, since timestamptz, until timestamptz, step text)
returns table (begins timestamptz, event_type text, unit text, quantity bigint, events bigint)
language sql stable security definer
set search_path = pg_catalog, public, pg_temp
as $$
    select date_trunc(step, log.timestamp, 'UTC'), log.event_type, log.unit, sum(log.quantity)::bigint, count(*)
    from tenant_usage_logs log where log.tenant_id = tenant and log.timestamp >= since and log.timestamp < until
    group by 1, 2, 3 order by 1, 2, 3
$$;

revoke all on function usage_buckets(uuid, timestamptz, timestamptz, text) from public;
grant execute on function usage_buckets(uuid, timestamptz, timestamptz, text) to rowhouse_data;
revoke all on function work_mark(uuid, timestamptz), work_clear(uuid, bigint, timestamptz, interval), work_list(integer),
    quota_reserve(uuid, uuid, bigint, interval, uuid, integer), quota_commit(uuid, uuid, bigint),
    quota_settle(uuid, uuid, uuid, uuid, bigint), quota_release(uuid),
    quota_lease(uuid, uuid, bigint, bigint, interval, uuid), quota_give_back(uuid, bigint),
    quota_hand_over(uuid[], uuid, uuid), quota_committing(uuid),
    quota_expire(integer), workspace_count(uuid, uuid, bigint),
    usage_record_all(uuid, uuid[], timestamptz[], text[], bigint[], text[], jsonb[], uuid[], uuid[]),
    usage_record(uuid, uuid, timestamptz, text, bigint, text, jsonb, uuid, uuid) from public;
-- A purge ends what its tenant had reserved.
grant execute on function quota_release(uuid) to rowhouse_control;
grant execute on function work_mark(uuid, timestamptz), work_clear(uuid, bigint, timestamptz, interval), work_list(integer),
    quota_reserve(uuid, uuid, bigint, interval, uuid, integer), quota_commit(uuid, uuid, bigint), quota_release(uuid),
    quota_expire(integer),
    quota_lease(uuid, uuid, bigint, bigint, interval, uuid), quota_give_back(uuid, bigint),
    quota_hand_over(uuid[], uuid, uuid), quota_committing(uuid),
    usage_record_all(uuid, uuid[], timestamptz[], text[], bigint[], text[], jsonb[], uuid[], uuid[]),
    usage_record(uuid, uuid, timestamptz, text, bigint, text, jsonb, uuid, uuid) to rowhouse_data, rowhouse_control;
grant select on quota_reservations, org_usage_logs, tenant_usage_logs to rowhouse_control;
-- A purge takes a tenant's shares off, and the doctor corrects them.
grant select, insert, update, delete on account_shares to rowhouse_control;
