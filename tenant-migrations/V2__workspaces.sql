-- Why: workspaces and folders, the tree that files lie in.
-- Locks: none that matter, the tables are new.

create table workspaces (
    tenant_id uuid not null default app_tenant_id(),
    id uuid not null default gen_random_uuid(),
    name text not null,
    -- As the application compares names: Unicode composed, lower case. Sorting and uniqueness go by it.
    name_normalized text not null,
    -- The storage account it belongs to, a row of `saas_platform`.
    account_id uuid,
    unique_identifier text,
    -- None: the tenant's quota alone holds.
    storage_quota bigint,
    used_storage bigint not null default 0,
    -- Of a file's versions, those that one of the rules keeps stay: so many newest ones, those replaced less than so many days
    -- ago. Without a rule all stay.
    keep_versions integer,
    keep_versions_days integer,
    workspace_type text not null default 'team',
    parent_workspace_id uuid,
    -- `/<id>/<id>/`: the ids from the outermost workspace to this one. Kept by a trigger; renaming changes nothing.
    workspace_path text not null default '',
    tags text[] not null default '{}',
    metadata jsonb not null default '{}',
    -- How its users want it: of the application's, like metadata, but not searched.
    settings jsonb not null default '{}',
    created_by_kind text not null default 'system',
    created_by uuid,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    deleted_at timestamptz,
    -- The workspace whose deletion took this one along, and whose restoring brings it back; none: it was deleted itself.
    deleted_with uuid,
    is_deleted boolean not null generated always as (deleted_at is not null) stored,
    constraint workspaces_pkey primary key (tenant_id, id),
    constraint workspaces_tenant_id_fkey foreign key (tenant_id) references tenant_identity (tenant_id),
    constraint workspaces_parent_workspace_id_fkey foreign key (tenant_id, parent_workspace_id) references workspaces (tenant_id, id),
    constraint workspaces_name_check check (name <> '' and octet_length(name) <= 255),
    constraint workspaces_unique_identifier_check check (unique_identifier <> '' and length(unique_identifier) <= 200),
    constraint workspaces_storage_quota_check check (storage_quota >= 0),
    constraint workspaces_used_storage_check check (used_storage >= 0),
    constraint workspaces_keep_versions_check check (keep_versions >= 1 and keep_versions_days >= 1),
    constraint workspaces_workspace_type_check check (workspace_type in ('personal', 'team', 'project')),
    constraint workspaces_workspace_path_check check (length(workspace_path) <= 1024),
    constraint workspaces_tags_check check (array_position(tags, null) is null),
    constraint workspaces_metadata_check check (jsonb_typeof(metadata) = 'object'),
    constraint workspaces_settings_check check (jsonb_typeof(settings) = 'object'),
    constraint workspaces_deleted_with_check check (deleted_with is null or deleted_at is not null),
    constraint workspaces_created_by_kind_check check (created_by_kind in ('system', 'platform_key', 'organization_key', 'tenant_key', 'user', 'anonymous'))
) with (fillfactor = 80);
create unique index workspaces_name_key on workspaces (tenant_id, parent_workspace_id, name_normalized) nulls not distinct where deleted_at is null;
create unique index workspaces_unique_identifier_key on workspaces (tenant_id, unique_identifier) where deleted_at is null;
create index workspaces_parent_workspace_id_idx on workspaces (tenant_id, parent_workspace_id, id);
create index workspaces_account_id_idx on workspaces (tenant_id, account_id, id);
create index workspaces_name_idx on workspaces (tenant_id, name_normalized, id);
create index workspaces_live_idx on workspaces (tenant_id, id) where deleted_at is null;
create index workspaces_deleted_at_idx on workspaces (tenant_id, deleted_at) where deleted_at is not null and deleted_with is null;
create index workspaces_workspace_type_idx on workspaces (tenant_id, workspace_type, id);
create index workspaces_workspace_path_idx on workspaces (tenant_id, workspace_path);
create index workspaces_tags_idx on workspaces using gin (tenant_id, tags);
create index workspaces_deleted_with_idx on workspaces (tenant_id, deleted_with, id) where deleted_with is not null;
create index workspaces_settings_idx on workspaces using gin (tenant_id, settings jsonb_path_ops);
create index workspaces_trash_idx on workspaces (tenant_id, id) where deleted_at is not null and deleted_with is null;
create index workspaces_metadata_idx on workspaces using gin (tenant_id, metadata jsonb_path_ops);
-- Not for the counter: it moves with every upload and would break an `If-Match` that has nothing to do with it.
create trigger workspaces_set_updated_at before update on workspaces for each row
    when (old.used_storage is not distinct from new.used_storage) execute function set_updated_at();

-- What uploads have added to workspaces and is not in `used_storage` yet: a counter in slots, so that those who upload at once don't
-- wait for each other's commits at the workspace's row. A workspace has all of its slots or none: the first upload that meets another
-- one makes them (`workspace_charge`), and whoever locks the row puts them into it again (`workspace_lock`). None has slots that has
-- a quota: that is compared under the row's lock.
create table workspace_counters (
    tenant_id uuid not null default app_tenant_id(),
    workspace_id uuid not null,
    slot smallint not null,
    bytes bigint not null default 0,
    created_at timestamptz not null default now(),
    constraint workspace_counters_pkey primary key (tenant_id, workspace_id, slot),
    constraint workspace_counters_tenant_id_fkey foreign key (tenant_id) references tenant_identity (tenant_id),
    constraint workspace_counters_workspace_id_fkey foreign key (tenant_id, workspace_id) references workspaces (tenant_id, id) on delete cascade,
    constraint workspace_counters_bytes_check check (bytes >= 0)
) with (fillfactor = 50);

-- Adds to what a live workspace uses, exactly within its quota, and keeps it from being deleted, and anything else from coming to bear
-- `name`, until the transaction ends. False where there is no such workspace or no room in it.
create function workspace_charge(workspace uuid, added bigint, name text) returns boolean
language plpgsql volatile
set search_path from current
as $$
declare
    place constant smallint := hashtext(name) & 63;
    is_met boolean;
begin
    update workspace_counters set bytes = bytes + added
    where tenant_id = app_tenant_id() and workspace_id = workspace and slot = place;
    if found then
        return true;
    end if;
    perform from workspaces where tenant_id = app_tenant_id() and id = workspace for no key update skip locked;
    is_met := not found;
    if is_met then
        perform from workspaces where tenant_id = app_tenant_id() and id = workspace for no key update;
    end if;
    -- Whoever had the row until now may have made them. From now on nobody does.
    update workspace_counters set bytes = bytes + added
    where tenant_id = app_tenant_id() and workspace_id = workspace and slot = place;
    if found then
        return true;
    end if;
    update workspaces set used_storage = used_storage + added
    where tenant_id = app_tenant_id() and id = workspace and deleted_at is null
        and (storage_quota is null or used_storage + added <= storage_quota);
    if not found then
        return false;
    end if;
    if is_met then
        insert into workspace_counters (workspace_id, slot)
        select id, generate_series(0, 63) from workspaces
        where tenant_id = app_tenant_id() and id = workspace and storage_quota is null;
    end if;
    return true;
end
$$;

-- Keeps workspaces, deleted or not, from being changed or added to until the transaction ends; whoever is adding is waited for. In the
-- order in which everybody does. What they use is in their rows then.
create function workspace_lock(workspaces uuid[]) returns void
language plpgsql volatile
set search_path from current
as $$
declare
    locked uuid[];
begin
    select array_agg(id) into locked from (
        select id from workspaces where tenant_id = app_tenant_id() and id = any(workspace_lock.workspaces)
        order by id for no key update
    ) locking;
    -- A statement of its own, which sees what came while the first one waited. Where nothing came the row stays as it is, with its
    -- `updated_at`.
    with counted as (
        delete from workspace_counters where tenant_id = app_tenant_id() and workspace_id = any(locked) returning workspace_id, bytes
    )
    update workspaces set used_storage = used_storage + added.bytes
    from (select workspace_id, sum(bytes)::bigint as bytes from counted group by workspace_id having sum(bytes) > 0) added
    where tenant_id = app_tenant_id() and id = added.workspace_id;
end
$$;
revoke all on function workspace_charge(uuid, bigint, text), workspace_lock(uuid[]) from public;
grant execute on function workspace_charge(uuid, bigint, text), workspace_lock(uuid[]) to tenant_app;

-- Computes a workspace's path from its parent's, and refuses to put one into itself.
create function workspaces_set_path() returns trigger
language plpgsql
set search_path from current
as $$
declare
    parent_path text := '/';
begin
    if new.parent_workspace_id is not null then
        select workspace_path into parent_path from workspaces
        where tenant_id = new.tenant_id and id = new.parent_workspace_id for no key update;
        if parent_path is null then
            raise exception 'the parent workspace does not exist'
                using errcode = 'foreign_key_violation', constraint = 'workspaces_parent_workspace_id_fkey', table = 'workspaces';
        end if;
        if position(new.id::text in parent_path) > 0 or new.parent_workspace_id = new.id then
            raise exception 'a workspace can''t lie in itself'
                using errcode = 'check_violation', constraint = 'workspaces_no_cycle_check', table = 'workspaces';
        end if;
    end if;
    new.workspace_path := parent_path || new.id || '/';
    return new;
end
$$;
revoke all on function workspaces_set_path() from public;
create trigger workspaces_set_path before insert or update of parent_workspace_id, workspace_path on workspaces
    for each row execute function workspaces_set_path();

-- Takes the workspaces inside along when one moves: each computes its own path again, which moves those inside it.
create function workspaces_move_children() returns trigger
language plpgsql
set search_path from current
as $$
begin
    update workspaces set workspace_path = '' where tenant_id = new.tenant_id and parent_workspace_id = new.id;
    return null;
end
$$;
revoke all on function workspaces_move_children() from public;
create trigger workspaces_move_children after update on workspaces for each row
    when (old.workspace_path is distinct from new.workspace_path) execute function workspaces_move_children();

create table folders (
    tenant_id uuid not null default app_tenant_id(),
    id uuid not null default gen_random_uuid(),
    workspace_id uuid not null,
    parent_id uuid,
    name text not null,
    name_normalized text not null,
    metadata jsonb not null default '{}',
    created_by_kind text not null default 'system',
    created_by uuid,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    deleted_at timestamptz,
    -- The folder or workspace whose deletion took this one along, and whose restoring brings it back.
    deleted_with uuid,
    is_deleted boolean not null generated always as (deleted_at is not null) stored,
    -- Where its contents' paths go among those beside it, by their bytes: `a/` comes behind `a.txt`.
    sort_key text collate "C" not null generated always as (name || '/') stored,
    constraint folders_pkey primary key (tenant_id, id),
    -- What lies in a folder refers to it with its workspace, so it can't be in another one, and moves along.
    constraint folders_workspace_id_id_key unique (tenant_id, workspace_id, id),
    constraint folders_tenant_id_fkey foreign key (tenant_id) references tenant_identity (tenant_id),
    constraint folders_workspace_id_fkey foreign key (tenant_id, workspace_id) references workspaces (tenant_id, id),
    constraint folders_parent_id_fkey foreign key (tenant_id, workspace_id, parent_id) references folders (tenant_id, workspace_id, id)
        on update cascade,
    constraint folders_name_check check (name <> '' and octet_length(name) <= 255),
    constraint folders_metadata_check check (jsonb_typeof(metadata) = 'object'),
    constraint folders_deleted_with_check check (deleted_with is null or deleted_at is not null),
    constraint folders_created_by_kind_check check (created_by_kind in ('system', 'platform_key', 'organization_key', 'tenant_key', 'user', 'anonymous'))
);
create unique index folders_name_key on folders (tenant_id, workspace_id, parent_id, name_normalized) nulls not distinct where deleted_at is null;
create index folders_workspace_id_idx on folders (tenant_id, workspace_id, parent_id, id);
create index folders_parent_id_idx on folders (tenant_id, parent_id, id);
create index folders_sort_key_idx on folders (tenant_id, workspace_id, parent_id, sort_key) where deleted_at is null;
create index folders_name_idx on folders (tenant_id, name_normalized, id);
create index folders_live_idx on folders (tenant_id, id) where deleted_at is null;
create index folders_deleted_at_idx on folders (tenant_id, deleted_at) where deleted_at is not null and deleted_with is null;
create index folders_trash_idx on folders (tenant_id, id) where deleted_at is not null and deleted_with is null;
create index folders_deleted_with_idx on folders (tenant_id, deleted_with, id) where deleted_with is not null;
create index folders_metadata_idx on folders using gin (tenant_id, metadata jsonb_path_ops);
create trigger folders_set_updated_at before update on folders for each row execute function set_updated_at();

-- Refuses a folder inside itself, and one that would lie deeper than 64 or take what is in it so deep; what is deleted counts,
-- it may be restored. A move takes its workspace's lock, so that two of them can't make a ring together. Whoever makes a folder
-- holds its workspace already: where it lies, nothing moves.
create function folders_check_place() returns trigger
language plpgsql
set search_path from current
as $$
declare
    ancestor uuid := new.parent_id;
    depth integer := 1;
    height integer := 0;
begin
    if tg_op = 'UPDATE' then
        perform from workspaces where tenant_id = new.tenant_id and id = new.workspace_id for no key update;
    end if;
    while ancestor is not null and depth <= 64 loop
        if ancestor = new.id then
            raise exception 'a folder can''t lie in itself'
                using errcode = 'check_violation', constraint = 'folders_no_cycle_check', table = 'folders';
        end if;
        depth := depth + 1;
        select parent_id into ancestor from folders where tenant_id = new.tenant_id and id = ancestor;
    end loop;
    if tg_op = 'UPDATE' and depth <= 64 then
        with recursive inside as (
            select id, 1 as level from folders where tenant_id = new.tenant_id and parent_id = new.id
            union all
            select folder.id, level + 1 from inside
            join folders folder on folder.tenant_id = new.tenant_id and folder.parent_id = inside.id where level <= 64
        )
        select coalesce(max(level), 0) into height from inside;
    end if;
    if depth + height > 64 then
        raise exception 'folders lie at most 64 deep'
            using errcode = 'check_violation', constraint = 'folders_depth_check', table = 'folders';
    end if;
    return new;
end
$$;
revoke all on function folders_check_place() from public;
create trigger folders_check_place_of_new before insert on folders for each row
    when (new.parent_id is not null) execute function folders_check_place();
create trigger folders_check_place before update of parent_id on folders for each row
    when (new.parent_id is not null and old.parent_id is distinct from new.parent_id) execute function folders_check_place();

-- A folder or workspace at which a job is at work, which deletes, restores, copies or purges what lies in it, or removes a copy again.
-- Until the job is done, the policies below hide what lives there from whoever reads or writes; a deletion is whole at once, and so is
-- a restoring. The job itself works through functions of the owner.
create table covers (
    tenant_id uuid not null default app_tenant_id(),
    -- The folder's or workspace's.
    id uuid not null,
    kind text not null,
    task text not null,
    -- The folder that is copied; this one is its copy.
    source_id uuid,
    -- Who works on it. Another takes its place where a deletion is taken back while it is under way.
    job_id uuid not null,
    -- Why a copy is removed again.
    reason text,
    -- Whether it is known what there is to do.
    is_listed boolean not null default false,
    -- How far it has come, with the listing and then with the work.
    place bigint not null default 0,
    after_item uuid not null default '00000000-0000-0000-0000-000000000000',
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint covers_pkey primary key (tenant_id, id),
    constraint covers_tenant_id_fkey foreign key (tenant_id) references tenant_identity (tenant_id),
    constraint covers_kind_check check (kind in ('folder', 'workspace')),
    constraint covers_task_check check (task in ('delete', 'restore', 'copy', 'discard', 'purge')),
    constraint covers_source_id_check check ((source_id is not null) = (task in ('copy', 'discard'))),
    constraint covers_reason_check check (reason is null or task = 'discard')
);
create trigger covers_set_updated_at before update on covers for each row execute function set_updated_at();

-- What a job goes through, one after the other: folders, and the tops of workspaces.
create table cover_places (
    tenant_id uuid not null default app_tenant_id(),
    cover_id uuid not null,
    number bigint not null,
    workspace_id uuid,
    folder_id uuid,
    -- The folder that a copy of it goes to.
    copy_id uuid,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint cover_places_pkey primary key (tenant_id, cover_id, number),
    constraint cover_places_cover_id_fkey foreign key (tenant_id, cover_id) references covers (tenant_id, id) on delete cascade,
    constraint cover_places_check check ((workspace_id is null) <> (folder_id is null))
);
create index cover_places_folder_id_idx on cover_places (tenant_id, cover_id, folder_id);
create trigger cover_places_set_updated_at before update on cover_places for each row execute function set_updated_at();

-- Nearly always, so it is asked first, once a statement. What is purged is deleted already: there is nothing to hide.
create function app_nothing_is_covered() returns boolean
language plpgsql stable parallel safe
set search_path from current
as $$
begin
    return not exists (select from covers where tenant_id = app_tenant_id() and task <> 'purge');
end
$$;

-- Whether what lies in the folder, or at the top of the workspace, is hidden. Of a folder itself, `item` is its id: what is being
-- restored or made is hidden with what is in it; what is being deleted is deleted already.
create function app_is_covered(workspace uuid, folder uuid, item uuid default null) returns boolean
language plpgsql stable security definer
set search_path from current
as $$
declare
    tenant constant uuid := app_tenant_id();
    ancestor uuid := folder;
    path text;
begin
    if exists (select from covers where tenant_id = tenant and id = item) then
        return true;
    end if;
    select workspace_path into path from workspaces where tenant_id = tenant and id = workspace and deleted_at is null;
    if path is null or app_is_covered(path) then
        return true;
    end if;
    while ancestor is not null loop
        if exists (select from covers where tenant_id = tenant and id = ancestor) then
            return true;
        end if;
        select parent_id into ancestor from folders where tenant_id = tenant and id = ancestor;
    end loop;
    return false;
end
$$;

-- The same of the workspace with this path.
create function app_is_covered(path text) returns boolean
language plpgsql stable
set search_path from current
as $$
begin
    return exists (
        select from covers where tenant_id = app_tenant_id() and kind = 'workspace' and position(id::text in path) > 0
    );
end
$$;
revoke all on function app_nothing_is_covered(), app_is_covered(uuid, uuid, uuid), app_is_covered(text) from public;
grant execute on function app_nothing_is_covered(), app_is_covered(uuid, uuid, uuid), app_is_covered(text) to tenant_app;

alter table workspaces enable row level security;
create policy tenant_isolation on workspaces to tenant_app using (tenant_id = app_tenant_id()) with check (tenant_id = app_tenant_id());
alter table workspace_counters enable row level security;
create policy tenant_isolation on workspace_counters to tenant_app using (tenant_id = app_tenant_id()) with check (tenant_id = app_tenant_id());
alter table folders enable row level security;
create policy tenant_isolation on folders to tenant_app using (tenant_id = app_tenant_id()) with check (tenant_id = app_tenant_id());
alter table covers enable row level security;
create policy tenant_isolation on covers to tenant_app using (tenant_id = app_tenant_id()) with check (tenant_id = app_tenant_id());
alter table cover_places enable row level security;
create policy tenant_isolation on cover_places to tenant_app using (tenant_id = app_tenant_id()) with check (tenant_id = app_tenant_id());
grant select, insert, update, delete on workspaces, workspace_counters, folders, covers, cover_places to tenant_app;

-- These only narrow what the others let through: whatever is deleted is to be seen in the trash. `app_nothing_is_covered` is written
-- out, because every statement asks it, and a call costs more than all the rest of a small one.
create policy not_covered on workspaces as restrictive to tenant_app
    using (deleted_at is not null
        or (select not exists (select from covers where tenant_id = app_tenant_id() and task <> 'purge'))
        or not app_is_covered(workspace_path));
create policy not_covered on folders as restrictive to tenant_app
    using (deleted_at is not null
        or (select not exists (select from covers where tenant_id = app_tenant_id() and task <> 'purge'))
        or not app_is_covered(workspace_id, parent_id, id));
