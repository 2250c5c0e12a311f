-- Why: the connections of a cluster are divided between the replicas of the data plane, and move to where the load is; and whoever
-- migrates tenants knows which versions the replicas that are up can serve.
-- Locks: none that matter, the tables are new; a short share lock on clusters for the foreign key.

-- What each life of a replica may hold on a cluster. The sum of `held` is never more than the cluster's budget: it grows only
-- by what is free, and shrinks only when its replica says that it holds less, or when the server has no session of it left.
create table connection_leases (
    cluster_id uuid not null,
    replica_id uuid not null,
    -- When the process began, in milliseconds: sessions of an earlier life of the same replica are told apart.
    epoch bigint not null,
    -- What it may hold without asking, while `saas_platform` is away. Kept for as long as it may come back.
    floor integer not null,
    held integer not null,
    wanted integer not null,
    -- Its process has closed its sessions and ended; what is held is its floor, for its next life.
    has_ended boolean not null default false,
    seen_at timestamptz not null,
    expires_at timestamptz not null,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint connection_leases_pkey primary key (cluster_id, replica_id, epoch),
    constraint connection_leases_cluster_id_fkey foreign key (cluster_id) references clusters (id) on delete cascade,
    constraint connection_leases_numbers_check check (floor >= 0 and held >= 0 and wanted >= 0)
);
create trigger connection_leases_set_updated_at before update on connection_leases
    for each row execute function set_updated_at();

-- Replicas that are up, and the versions of tenants' schemas that each of them serves.
create table data_plane_replicas (
    replica_id uuid not null,
    epoch bigint not null,
    -- Where to find it.
    host text not null,
    oldest_version integer not null,
    newest_version integer not null,
    -- Past it, the replica is taken for gone.
    expires_at timestamptz not null,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint data_plane_replicas_pkey primary key (replica_id, epoch),
    constraint data_plane_replicas_versions_check check (oldest_version between 1 and newest_version)
);
create trigger data_plane_replicas_set_updated_at before update on data_plane_replicas
    for each row execute function set_updated_at();

-- A replica says that it is up, and which versions it serves, for `ttl`. Those that are long gone are forgotten.
create function replica_serves(replica uuid, epoch bigint, host text, oldest integer, newest integer, ttl interval) returns void
language sql security definer
set search_path = pg_catalog, public, pg_temp
as $$
    delete from data_plane_replicas known where (known.replica_id, known.epoch) in (
        select old.replica_id, old.epoch from data_plane_replicas old
        where old.expires_at < clock_timestamp() - interval '1 day'
            or old.replica_id = replica and old.epoch < replica_serves.epoch
        for update skip locked);
    insert into data_plane_replicas (replica_id, epoch, host, oldest_version, newest_version, expires_at)
    values (replica, replica_serves.epoch, replica_serves.host, oldest, newest, clock_timestamp() + ttl)
    on conflict (replica_id, epoch) do update
    set host = excluded.host, oldest_version = excluded.oldest_version, newest_version = excluded.newest_version,
        expires_at = excluded.expires_at
$$;

-- Says what a replica may hold on a cluster from now on, for `ttl`. `holds` is what it may be holding now: what it was told
-- last, or what is still open where that is more. A limit below it is to be obeyed, and then reported, before others get the
-- difference. Replicas whose lease ran out are named: their sessions are to be counted (`connections_gone`).
create function connections_lease(
    cluster uuid, replica uuid, epoch bigint, floor integer, holds integer, wanted integer, ttl interval)
returns table ("limit" integer, budget integer, floors bigint, gone_replicas uuid[], gone_epochs bigint[])
language plpgsql security definer
set search_path = pg_catalog, public, pg_temp
as $$
#variable_conflict use_column
declare
    at constant timestamptz := clock_timestamp();
    total integer;
    free integer;
    rest integer;
    living integer;
    all_floors bigint;
    -- Of these as much as there is: where they are more, each is lessened alike.
    kept bigint;
    -- Floors of those who are yet to be served.
    reserved bigint;
    given integer;
    mine integer := 0;
    lease record;
begin
    -- One at a time for a cluster.
    select clusters.budget into total from clusters where id = cluster for no key update;
    if not found then
        return;
    end if;
    delete from connection_leases
    where cluster_id = cluster and replica_id = replica and epoch < connections_lease.epoch and has_ended;
    update connection_leases set floor = 0, expires_at = least(expires_at, at)
    where cluster_id = cluster and replica_id = replica and epoch < connections_lease.epoch
        and (floor > 0 or expires_at > at);
    insert into connection_leases (cluster_id, replica_id, epoch, floor, held, wanted, seen_at, expires_at)
    values (cluster, replica, connections_lease.epoch, connections_lease.floor, holds, connections_lease.wanted, at, at + ttl)
    on conflict (cluster_id, replica_id, epoch) do update
    set floor = excluded.floor, held = excluded.held, wanted = excluded.wanted, has_ended = false, seen_at = at,
        expires_at = at + ttl;

    select total - coalesce(sum(held) filter (where expires_at <= at), 0), count(*) filter (where expires_at > at),
        coalesce(sum(connection_leases.floor::bigint) filter (where expires_at > at), 0)
    into rest, living, all_floors from connection_leases where cluster_id = cluster;
    kept := least(all_floors, greatest(rest, 0));
    select coalesce(sum(connection_leases.floor * kept / nullif(all_floors, 0)), 0) into reserved
    from connection_leases where cluster_id = cluster and expires_at > at;
    -- Those that want least are served first, so that what they leave is divided among the others; but for their floors.
    free := living;
    for lease in
        select replica_id, epoch, coalesce(connection_leases.floor * kept / nullif(all_floors, 0), 0) as least_held,
            connection_leases.wanted as most_used
        from connection_leases where cluster_id = cluster and expires_at > at
        order by connection_leases.wanted, replica_id
    loop
        reserved := reserved - lease.least_held;
        given := least(greatest(lease.least_held, least(lease.most_used, rest / free)), greatest(rest - reserved, 0));
        if lease.replica_id = replica and lease.epoch = connections_lease.epoch then
            mine := given;
        end if;
        rest := rest - given;
        free := free - 1;
    end loop;
    -- What nobody wants now keeps idle connections open.
    mine := mine + greatest(rest, 0) / living;

    select total - coalesce(sum(held), 0) into free from connection_leases
    where cluster_id = cluster and not (replica_id = replica and epoch = connections_lease.epoch);
    -- It shrinks to its part, and grows into what is free.
    mine := least(mine, greatest(free, holds, 0));
    update connection_leases set held = greatest(held, mine)
    where cluster_id = cluster and replica_id = replica and epoch = connections_lease.epoch;
    return query
        select mine, total, all_floors, coalesce(array_agg(replica_id), '{}'), coalesce(array_agg(epoch), '{}')
        from connection_leases where cluster_id = cluster and expires_at <= at
            -- One that has only its kept floor left is looked at now and then.
            and (held > connection_leases.floor or updated_at < at - interval '1 minute');
end
$$;

-- Records that a replica whose lease ran out has so many sessions left on a cluster. Its floor, as far as it was granted, is kept
-- for `keep` since it was last heard of: it may be alive and cut off from here only.
create function connections_gone(cluster uuid, replica uuid, epoch bigint, sessions integer, keep interval) returns void
language sql security definer
set search_path = pg_catalog, public, pg_temp
as $$
    update connection_leases lease
    set held = case when lease.seen_at > clock_timestamp() - keep
        then greatest(sessions, least(lease.floor, lease.held)) else sessions end
    where lease.cluster_id = cluster and lease.replica_id = replica and lease.epoch = connections_gone.epoch
        and lease.expires_at <= clock_timestamp();
    delete from connection_leases lease
    where lease.cluster_id = cluster and lease.replica_id = replica and lease.epoch = connections_gone.epoch
        and lease.expires_at <= clock_timestamp() and lease.held = 0
$$;

-- Gives back what a replica held: it has closed its connections and ends. One that `returns` keeps its floor, as far as it was
-- granted: `saas_platform` may be away when it does.
create function connections_release(replica uuid, epoch bigint, returns boolean) returns void
language sql security definer
set search_path = pg_catalog, public, pg_temp
as $$
    update connection_leases lease
    set held = case when returns then least(lease.floor, lease.held) else 0 end,
        expires_at = least(lease.expires_at, clock_timestamp()), has_ended = true
    where lease.replica_id = replica and lease.epoch = connections_release.epoch;
    delete from connection_leases lease
    where lease.replica_id = replica and lease.epoch = connections_release.epoch and lease.held = 0;
    delete from data_plane_replicas known
    where known.replica_id = replica and known.epoch = connections_release.epoch
$$;

revoke all on function connections_lease(uuid, uuid, bigint, integer, integer, integer, interval) from public;
revoke all on function connections_gone(uuid, uuid, bigint, integer, interval) from public;
revoke all on function connections_release(uuid, bigint, boolean) from public;
revoke all on function replica_serves(uuid, bigint, text, integer, integer, interval) from public;
grant execute on function connections_lease(uuid, uuid, bigint, integer, integer, integer, interval) to rowhouse_data;
grant execute on function connections_gone(uuid, uuid, bigint, integer, interval) to rowhouse_data, rowhouse_control;
grant execute on function connections_release(uuid, bigint, boolean) to rowhouse_data;
grant execute on function replica_serves(uuid, bigint, text, integer, integer, interval) to rowhouse_data;
grant select, delete on connection_leases to rowhouse_control;
grant select on data_plane_replicas to rowhouse_control;
