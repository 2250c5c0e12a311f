-- Why: what new tenant databases are made from (templates, stock), and how each cluster was last seen.
-- Locks: none that matter, the tables are new; a short share lock on clusters and tenants for the foreign keys.

-- Immutable: made once for a cluster and a version of the tenant migrations, then only cloned.
create table templates (
    cluster_id uuid not null,
    schema_version integer not null,
    database_name text not null,
    -- Of the migrations that made it: another build of the same version is another template.
    checksum text not null,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint templates_pkey primary key (cluster_id, schema_version),
    constraint templates_cluster_id_fkey foreign key (cluster_id) references clusters (id),
    constraint templates_schema_version_check check (schema_version > 0)
);
create trigger templates_set_updated_at before update on templates for each row execute function set_updated_at();

-- Databases, with their logins, that wait for a tenant. Each is made for an id that no tenant has yet, and whoever takes it
-- gets that id: so it is complete but for its names. A row stands before its database is made, and goes after it is gone
-- or has become a tenant's.
create table stock_databases (
    -- The id of the tenant to be.
    id uuid not null,
    cluster_id uuid not null,
    -- The login has the same name.
    database_name text not null,
    schema_version integer not null,
    is_ready boolean not null default false,
    is_taken boolean not null default false,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint stock_databases_pkey primary key (id),
    constraint stock_databases_cluster_id_fkey foreign key (cluster_id) references clusters (id),
    constraint stock_databases_cluster_id_database_name_key unique (cluster_id, database_name),
    constraint stock_databases_is_taken_check check (is_ready or not is_taken)
);
create index stock_databases_free_idx on stock_databases (cluster_id, schema_version, id) where is_ready and not is_taken;
create trigger stock_databases_set_updated_at before update on stock_databases for each row execute function set_updated_at();

-- How a cluster was last seen. A table of its own, so that looking changes no entity tag.
create table cluster_health (
    cluster_id uuid not null,
    is_reachable boolean not null,
    -- Looks in a row that found it away; it counts as unreachable after a few.
    failures integer not null default 0,
    -- What was wrong, where it was not; no secret and no address.
    error text,
    checked_at timestamptz not null default now(),
    -- When it last answered.
    seen_at timestamptz,
    server_version text,
    max_connections integer,
    used_connections integer,
    -- Bytes that its tenants store.
    bytes bigint,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint cluster_health_pkey primary key (cluster_id),
    constraint cluster_health_failures_check check (failures >= 0),
    constraint cluster_health_cluster_id_fkey foreign key (cluster_id) references clusters (id) on delete cascade
);
create trigger cluster_health_set_updated_at before update on cluster_health for each row execute function set_updated_at();

grant select, insert, update, delete on templates, stock_databases, cluster_health to rowhouse_control;
