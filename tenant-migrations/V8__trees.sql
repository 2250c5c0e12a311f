-- Why: a folder or workspace is deleted, restored, copied and purged with what lies in it: at once where that is little, else by a
-- job, batch by batch, under a cover (see V2); a purge always by a job, and so is a copy taken back. They run as the owner, whom the
-- covers do not bind, and filter on `app_tenant_id()` themselves.
-- Every step has a bound but two: the first of a copy goes through all folders, and the first of a restoring counts all it will
-- bring back.
-- Locks: none.

-- How many live folders and files lie in a folder, itself included, or in a workspace that has been deleted; it counts little
-- further than `most`.
create function tree_count_live(tenant uuid, kind text, root uuid, most bigint) returns bigint
language plpgsql stable
set search_path from current
as $$
declare
    tops uuid[];
    inside uuid[];
    files_inside bigint;
begin
    if kind = 'workspace' then
        tops := array(select id from workspaces where tenant_id = tenant and (id = root or deleted_with = root));
    end if;
    inside := array(select folder from tree_live_folders(tenant, kind, root, most) folder);
    select count(*) into files_inside from (
        select from files where tenant_id = tenant and folder_id = any(inside) and deleted_at is null
        union all
        select from files where tenant_id = tenant and workspace_id = any(tops) and folder_id is null and deleted_at is null
        limit most
    ) counted;
    return cardinality(inside) + files_inside;
end
$$;

-- The live folders in a folder, itself first whether it lives or not, or in a workspace and those deleted with it; at most so many.
create function tree_live_folders(tenant uuid, kind text, root uuid, most bigint) returns setof uuid
language sql stable
set search_path from current
as $$
    with recursive inside as (
        select id from folders where kind = 'folder' and tenant_id = tenant and id = root
        union all
        select id from (
            select folder.id from workspaces workspace
            join folders folder on folder.tenant_id = tenant and folder.workspace_id = workspace.id and folder.parent_id is null
            where kind = 'workspace' and workspace.tenant_id = tenant and (workspace.id = root or workspace.deleted_with = root)
                and folder.deleted_at is null
        ) top
        union all
        select folder.id from inside
        join folders folder on folder.tenant_id = tenant and folder.parent_id = inside.id where folder.deleted_at is null
    )
    select id from inside limit most
$$;

-- Whether a folder or workspace lies in another, or is it.
create function tree_has(tenant uuid, root_kind text, root uuid, kind text, item uuid) returns boolean
language plpgsql stable
set search_path from current
as $$
declare
    ancestor uuid := item;
    workspace uuid := item;
begin
    if kind = 'folder' then
        while ancestor is not null loop
            if ancestor = root then
                return true;
            end if;
            select parent_id, workspace_id into ancestor, workspace from folders where tenant_id = tenant and id = ancestor;
        end loop;
    end if;
    return root_kind = 'workspace' and exists (
        select from workspaces where tenant_id = tenant and id = workspace and position(root::text in workspace_path) > 0
    );
end
$$;

-- Refuses what is to be done with a folder or workspace while a job makes or restores something in there; with `any_task` also while
-- one deletes something in there, with `sources` also while one copies something from there.
create function tree_check(kind text, root uuid, any_task boolean, sources boolean) returns void
language plpgsql stable security definer
set search_path from current
as $$
declare
    tenant constant uuid := app_tenant_id();
    cover covers;
begin
    for cover in select * from covers where tenant_id = tenant and id <> root and task <> 'purge'
        and (any_task or task <> 'delete') loop
        if tree_has(tenant, kind, root, cover.kind, cover.id)
            or sources and cover.source_id is not null and tree_has(tenant, kind, root, 'folder', cover.source_id) then
            raise exception 'a job is at work in it'
                using errcode = 'check_violation', constraint = 'covers_inside_check', table = 'covers';
        end if;
    end loop;
end
$$;

-- Refuses to restore what lies in something that is being purged, or is it.
create function tree_check_restore(kind text, root uuid) returns void
language plpgsql stable security definer
set search_path from current
as $$
declare
    tenant constant uuid := app_tenant_id();
begin
    if exists (
        select from covers cover where tenant_id = tenant and task = 'purge' and tree_has(tenant, cover.kind, cover.id, tree_check_restore.kind, root)
    ) then
        raise exception 'it is being purged'
            using errcode = 'check_violation', constraint = 'covers_purge_check', table = 'covers';
    end if;
end
$$;

-- The cover that a job works on, locked; none where the job is not to go on.
create function tree_claim(root uuid, job uuid, variadic tasks text[]) returns covers
language sql volatile
set search_path from current
as $$
    select * from covers where tenant_id = app_tenant_id() and id = root and job_id = job and task = any(tasks) for update
$$;

-- Queues a job again that was given up, with all its attempts before it.
create function tree_try_again(job uuid) returns void
language sql volatile
set search_path from current
as $$
    update jobs set state = 'queued', attempts = 0, run_at = now(), finished_at = null
    where tenant_id = app_tenant_id() and id = job and state = 'failed'
$$;

-- No cover stays without somebody who works on it: what was given up is tried again after a pause, and of a copy that was given up
-- what it has made is removed at once. Says when the next pause is over; now, where a job was queued.
create function tree_revive(pause interval) returns timestamptz
language plpgsql volatile security definer
set search_path from current
as $$
declare
    tenant constant uuid := app_tenant_id();
    stranded record;
    next_due timestamptz;
begin
    for stranded in
        select cover.id, cover.task, job.id as job, coalesce(job.finished_at, job.updated_at) + pause as due
        from covers cover join jobs job on job.tenant_id = tenant and job.id = cover.job_id and job.state = 'failed'
        where cover.tenant_id = tenant for update of cover skip locked
    loop
        if stranded.task = 'copy' then
            update covers set task = 'discard' where tenant_id = tenant and id = stranded.id;
        elsif stranded.due > now() then
            next_due := least(next_due, stranded.due);
            continue;
        end if;
        perform tree_try_again(stranded.job);
        next_due := now();
    end loop;
    return next_due;
end
$$;

-- Begins to delete, with `task` = `delete`, or to restore what lies in a folder or workspace, which itself is deleted or restored
-- already. Up to `most` folders and files are dealt with at once; for more it returns false and leaves a cover, and `job` is to go
-- on with it. A deletion under way is taken back by a restoring. Refused while another job makes or restores something in there.
create function tree_begin(kind text, root uuid, task text, job uuid, most integer) returns boolean
language plpgsql volatile security definer
set search_path from current
as $$
declare
    tenant constant uuid := app_tenant_id();
    cover covers;
    is_little boolean;
begin
    perform tree_check(kind, root, false, true);
    select * into cover from covers where tenant_id = tenant and id = root for update;
    if cover.id is not null then
        update jobs set state = 'cancelled', finished_at = now(), locked_by = null, locked_until = null
        where tenant_id = tenant and id = cover.job_id and state in ('queued', 'running', 'failed');
        update covers set task = tree_begin.task, job_id = tree_begin.job, is_listed = false, place = 0, after_item = default
        where tenant_id = tenant and id = root;
        return false;
    end if;
    if task = 'delete' then
        is_little := tree_count_live(tenant, kind, root, most + 1) <= most;
    else
        select count(*) <= most into is_little from (
            select from folders where tenant_id = tenant and deleted_with = root
            union all
            select from files where tenant_id = tenant and deleted_with = root
            limit most + 1
        ) counted;
    end if;
    insert into covers (tenant_id, id, kind, task, job_id) values (tenant, root, tree_begin.kind, tree_begin.task, tree_begin.job);
    while is_little and tree_step(root, job, most + 1) = 'more' loop
    end loop;
    return is_little;
end
$$;

-- Restores a folder alone, into `parent`. As the owner: where its deletion is still under way, it is covered once it lives.
create function folder_restore(folder uuid, parent uuid) returns setof folders
language sql volatile security definer
set search_path from current
as $$
    update folders set deleted_at = null, deleted_with = null, parent_id = parent
    where tenant_id = app_tenant_id() and id = folder and deleted_at is not null
    returning *
$$;

-- Restores a workspace, and those that were deleted with it, into `parent`.
create function workspace_restore(workspace uuid, parent uuid) returns setof workspaces
language plpgsql volatile security definer
set search_path from current
as $$
#variable_conflict use_column
declare
    tenant constant uuid := app_tenant_id();
begin
    update workspaces set deleted_at = null, parent_workspace_id = parent
    where tenant_id = tenant and id = workspace and deleted_at is not null;
    update workspaces set deleted_at = null, deleted_with = null where tenant_id = tenant and deleted_with = workspace;
    return query select * from workspaces where tenant_id = tenant and id = workspace;
end
$$;

-- Live workspaces with a tag, of a type, in a place, or of several of these, in the order of their making. As the owner, for the
-- tags' index.
create function workspace_list(tag text, type text, parent uuid, is_top boolean, after uuid, most bigint) returns setof workspaces
language plpgsql stable security definer
set search_path from current
set plan_cache_mode = force_custom_plan
as $$
#variable_conflict use_column
declare
    tenant constant uuid := app_tenant_id();
begin
    return query
    select * from workspaces
    where tenant_id = tenant and deleted_at is null and id > after and (tag is null or tags @> array[tag])
        and (type is null or workspace_type = type) and (parent is null or parent_workspace_id = parent)
        and (not is_top or parent_workspace_id is null)
        and ((select app_nothing_is_covered()) or not app_is_covered(workspace_path))
    order by id limit most;
end
$$;

-- Deals with about `most` more folders and files. `more`: there may be more of them; `done`: there are none, and the cover is gone;
-- `cancelled`: another job has taken over.
create function tree_step(root uuid, job uuid, most integer) returns text
language plpgsql volatile security definer
set search_path from current
as $$
declare
    cover constant covers := tree_claim(root, job, 'delete', 'restore');
begin
    if cover.id is null then
        return 'cancelled';
    end if;
    if cover.task = 'delete' then
        return tree_delete_step(cover, most);
    end if;
    return tree_restore_step(cover, most);
end
$$;

-- Files at the top of a workspace or directly in a folder, after one of them: those that live, or all.
create function tree_place_files(tenant uuid, workspace uuid, folder uuid, is_all boolean, after uuid, most bigint) returns uuid[]
language plpgsql stable
set search_path from current
as $$
begin
    if folder is not null then
        return array(
            select id from files where tenant_id = tenant and folder_id = folder and (is_all or deleted_at is null) and id > after
            order by id limit most
        );
    end if;
    return array(
        select id from files where tenant_id = tenant and workspace_id = workspace and folder_id is null
            and (is_all or deleted_at is null) and id > after
        order by id limit most
    );
end
$$;

-- How many there are.
create function tree_place_count(tenant uuid, workspace uuid, folder uuid, is_all boolean) returns bigint
language plpgsql stable
set search_path from current
as $$
begin
    if folder is not null then
        return (select count(*) from files where tenant_id = tenant and folder_id = folder and (is_all or deleted_at is null));
    end if;
    return (
        select count(*) from files where tenant_id = tenant and workspace_id = workspace and folder_id is null
            and (is_all or deleted_at is null)
    );
end
$$;

-- The same as of the files, of folders.
create function tree_place_folders(tenant uuid, workspace uuid, folder uuid, is_all boolean, after uuid, most bigint) returns uuid[]
language plpgsql stable
set search_path from current
as $$
begin
    if folder is not null then
        return array(
            select id from folders where tenant_id = tenant and parent_id = folder and (is_all or deleted_at is null) and id > after
            order by id limit most
        );
    end if;
    return array(
        select id from folders where tenant_id = tenant and workspace_id = workspace and parent_id is null
            and (is_all or deleted_at is null) and id > after
        order by id limit most
    );
end
$$;

-- Lists about `most` more places of a tree, those that live or for a purge all, each behind the one that it lies in; counts what lies
-- there. Nobody else changes a tree meanwhile: what lives in it is hidden, and what is purged is not restored.
create function tree_list(cover covers, most integer) returns void
language plpgsql volatile
set search_path from current
as $$
declare
    tenant constant uuid := cover.tenant_id;
    is_all constant boolean := cover.task = 'purge';
    handled integer := 0;
    counted bigint := 0;
    listed bigint;
    ids uuid[];
    here cover_places;
begin
    select coalesce(max(number) + 1, 0) into listed from cover_places where tenant_id = tenant and cover_id = cover.id;
    if listed = 0 then
        insert into cover_places (tenant_id, cover_id, number, folder_id)
        select tenant, cover.id, 0, id from folders where cover.kind = 'folder' and tenant_id = tenant and id = cover.id;
        insert into cover_places (tenant_id, cover_id, number, workspace_id)
        select tenant, cover.id, row_number() over () - 1, id from workspaces
        where cover.kind = 'workspace' and tenant_id = tenant
            and (id = cover.id or deleted_with = cover.id or is_all and position(cover.id::text in workspace_path) > 0);
        select count(*) into listed from cover_places where tenant_id = tenant and cover_id = cover.id;
    end if;
    while handled < most loop
        select * into here from cover_places where tenant_id = tenant and cover_id = cover.id and number = cover.place;
        if here.number is null then
            cover.is_listed := true;
            cover.place := 0;
            exit;
        end if;
        if cover.after_item = '00000000-0000-0000-0000-000000000000' then
            counted := counted + 1 + tree_place_count(tenant, here.workspace_id, here.folder_id, is_all);
        end if;
        ids := tree_place_folders(tenant, here.workspace_id, here.folder_id, is_all, cover.after_item, most - handled);
        insert into cover_places (tenant_id, cover_id, number, folder_id)
        select tenant, cover.id, listed + item.n - 1, item.id from unnest(ids) with ordinality item (id, n);
        listed := listed + cardinality(ids);
        handled := handled + cardinality(ids);
        if handled = most then
            cover.after_item := ids[cardinality(ids)];
        else
            cover.place := cover.place + 1;
            cover.after_item := '00000000-0000-0000-0000-000000000000';
            handled := handled + 1;
        end if;
    end loop;
    update covers set is_listed = cover.is_listed, place = cover.place, after_item = cover.after_item
    where tenant_id = tenant and id = cover.id;
    update jobs set total = coalesce(total, 0) + counted where tenant_id = tenant and id = cover.job_id;
end
$$;

create function tree_delete_step(cover covers, most integer) returns text
language plpgsql volatile
set search_path from current
as $$
declare
    tenant constant uuid := cover.tenant_id;
    died timestamptz;
    handled integer := 0;
    ids uuid[];
    here cover_places;
begin
    if not cover.is_listed then
        perform tree_list(cover, most);
        return 'more';
    end if;
    -- Whoever purges goes by it: what was taken along goes when its root does.
    if cover.kind = 'folder' then
        select deleted_at into died from folders where tenant_id = tenant and id = cover.id;
    else
        select deleted_at into died from workspaces where tenant_id = tenant and id = cover.id;
    end if;
    while handled < most loop
        select * into here from cover_places where tenant_id = tenant and cover_id = cover.id and number = cover.place;
        if here.number is null then
            perform tree_end(cover, handled);
            return 'done';
        end if;
        ids := tree_place_files(tenant, here.workspace_id, here.folder_id, false, cover.after_item, most - handled);
        update files set deleted_at = died, deleted_with = cover.id
        where tenant_id = tenant and id = any(ids) and deleted_at is null;
        handled := handled + cardinality(ids);
        if handled = most then
            cover.after_item := ids[cardinality(ids)];
        else
            update folders set deleted_at = died, deleted_with = cover.id
            where tenant_id = tenant and id = here.folder_id and deleted_at is null and id <> cover.id;
            cover.place := cover.place + 1;
            cover.after_item := '00000000-0000-0000-0000-000000000000';
            handled := handled + 1;
        end if;
    end loop;
    update covers set place = cover.place, after_item = cover.after_item where tenant_id = tenant and id = cover.id;
    update jobs set done = done + handled where tenant_id = tenant and id = cover.job_id;
    return 'more';
end
$$;

-- First the folders, then the files. What was not deleted yet when a deletion was taken back is live already.
create function tree_restore_step(cover covers, most integer) returns text
language plpgsql volatile
set search_path from current
as $$
declare
    tenant constant uuid := cover.tenant_id;
    touched bigint;
    last uuid;
begin
    if not cover.is_listed then
        update jobs set total = (select count(*) from folders where tenant_id = tenant and deleted_with = cover.id)
            + (select count(*) from files where tenant_id = tenant and deleted_with = cover.id)
        where tenant_id = tenant and id = cover.job_id;
        update covers set is_listed = true where tenant_id = tenant and id = cover.id;
        return 'more';
    end if;
    if cover.place = 0 then
        with next as (
            select id from folders where tenant_id = tenant and deleted_with = cover.id and id > cover.after_item order by id limit most
        ), marked as (
            update folders set deleted_at = null, deleted_with = null from next
            where folders.tenant_id = tenant and folders.id = next.id returning folders.id
        )
        select count(*), (select id from next order by id desc limit 1) into touched, last from next;
        if touched < most then
            cover.place := 1;
            last := '00000000-0000-0000-0000-000000000000';
        end if;
    else
        with next as (
            select id from files where tenant_id = tenant and deleted_with = cover.id and id > cover.after_item order by id limit most
        ), marked as (
            update files set deleted_at = null, deleted_with = null from next
            where files.tenant_id = tenant and files.id = next.id returning files.id
        )
        select count(*), (select id from next order by id desc limit 1) into touched, last from next;
        if touched < most then
            perform tree_end(cover, touched);
            return 'done';
        end if;
    end if;
    update covers set place = cover.place, after_item = last where tenant_id = tenant and id = cover.id;
    update jobs set done = done + touched where tenant_id = tenant and id = cover.job_id;
    return 'more';
end
$$;

create function tree_end(cover covers, handled bigint) returns void
language plpgsql volatile
set search_path from current
as $$
begin
    update jobs set done = done + handled where tenant_id = cover.tenant_id and id = cover.job_id;
    delete from covers where tenant_id = cover.tenant_id and id = cover.id;
end
$$;

-- An id like those that the application makes, which sort by the time of their making (UUID version 7).
create function tree_id() returns uuid
language sql volatile
set search_path from current
as $$
    select encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid())
        placing substring(int8send((extract(epoch from clock_timestamp()) * 1000)::bigint) from 3) from 1 for 6), 52, 1), 53, 1), 'hex')::uuid
$$;

-- The bytes of the live files in a folder: what a copy of it takes.
create function tree_measure(folder uuid) returns bigint
language sql stable security definer
set search_path from current
as $$
    select coalesce(sum(file.size), 0)::bigint from tree_live_folders(app_tenant_id(), 'folder', folder, null) inside
    join files file on file.tenant_id = app_tenant_id() and file.folder_id = inside and file.deleted_at is null
$$;

-- Begins to copy what lies in the folder `source` into the new folder `root`, both of whose workspaces are locked. Says whether that
-- is at most `most` folders and files.
create function tree_copy_begin(source uuid, root uuid, job uuid, most integer) returns boolean
language plpgsql volatile security definer
set search_path from current
as $$
declare
    tenant constant uuid := app_tenant_id();
    ancestor uuid := root;
    depth integer := 0;
    height integer;
begin
    perform tree_check('folder', source, false, false);
    while ancestor is not null loop
        if ancestor = source then
            raise exception 'a folder can''t be copied into itself'
                using errcode = 'check_violation', constraint = 'folders_no_cycle_check', table = 'folders';
        end if;
        depth := depth + 1;
        select parent_id into ancestor from folders where tenant_id = tenant and id = ancestor;
    end loop;
    with recursive inside as (
        select source as id, 0 as level
        union all
        select folder.id, level + 1 from inside
        join folders folder on folder.tenant_id = tenant and folder.parent_id = inside.id and folder.deleted_at is null where level <= 64
    )
    select max(level) into height from inside;
    if depth + height > 64 then
        raise exception 'folders lie at most 64 deep'
            using errcode = 'check_violation', constraint = 'folders_depth_check', table = 'folders';
    end if;
    insert into covers (tenant_id, id, kind, task, source_id, job_id) values (tenant, root, 'folder', 'copy', source, job);
    return tree_count_live(tenant, 'folder', source, most + 1) <= most;
end
$$;

-- The files that a copy takes next, at most so many, with the bytes that they come to up to each. They are of at most 100 folders.
create function tree_copy_next(cover covers, most integer)
returns table (number bigint, copy_id uuid, file_id uuid, size bigint, running bigint)
language sql stable
set search_path from current
as $$
    select next.number, next.copy_id, next.file_id, next.size, (sum(next.size) over (order by next.number, next.file_id))::bigint
    from (
        select place.number, place.copy_id, file.id as file_id, file.size
        from cover_places place
        cross join lateral (
            select files.id, files.size from files
            where files.tenant_id = cover.tenant_id and files.folder_id = place.folder_id and files.deleted_at is null
                and files.id > case when place.number = cover.place then cover.after_item
                    else '00000000-0000-0000-0000-000000000000' end
            order by files.id limit most
        ) file
        where place.tenant_id = cover.tenant_id and place.cover_id = cover.id
            and place.number >= cover.place and place.number < cover.place + 100
        order by place.number, file.id limit most
    ) next
$$;

-- The bytes that a job has to reserve for its next step; none where it is not to go on with a copy.
create function tree_copy_need(root uuid, job uuid, most integer) returns bigint
language plpgsql stable security definer
set search_path from current
as $$
declare
    cover covers;
begin
    select * into cover from covers where tenant_id = app_tenant_id() and id = root and job_id = job and task = 'copy';
    if cover.id is null then
        return null;
    end if;
    return coalesce((select max(running) from tree_copy_next(cover, most)), 0);
end
$$;

-- Keeps whatever changes the places of a copy and of its source from changing, in everybody's order, and says where the copy lies.
create function tree_copy_lock(tenant uuid, root uuid) returns uuid
language plpgsql volatile
set search_path from current
as $$
declare
    place uuid;
begin
    select workspace_id into place from folders where tenant_id = tenant and id = root;
    perform workspace_lock(array(
        select workspace_id from folders where tenant_id = tenant
            and id in (root, (select source_id from covers where covers.tenant_id = tenant and covers.id = root))
    ));
    return place;
end
$$;

-- Goes on with a copy: first the folders, then about `most` files, of at most `room` bytes. `more`, `done` and `cancelled` as of
-- `tree_step`; `room`: the next file takes more; `full`: the workspace has no room for it. What was made is said, in nobody's view yet.
create function tree_copy_step(root uuid, job uuid, most integer, room bigint, actor_kind text, actor uuid, account uuid)
returns table (outcome text, new_folders uuid[], new_files uuid[], bytes bigint)
language plpgsql volatile security definer
set search_path from current
as $$
#variable_conflict use_column
declare
    tenant constant uuid := app_tenant_id();
    workspace uuid;
    unused bigint;
    cover covers;
    listed bigint;
    available integer;
    taken integer;
    last_number bigint;
    last_file uuid;
    smallest bigint;
begin
    workspace := tree_copy_lock(tenant, root);
    cover := tree_claim(root, job, 'copy');
    outcome := 'cancelled';
    new_folders := '{}';
    new_files := '{}';
    bytes := 0;
    if cover.id is null then
        return next;
        return;
    end if;
    outcome := 'more';
    if not cover.is_listed then
        insert into cover_places (tenant_id, cover_id, number, folder_id, copy_id)
        select tenant, root, row_number() over () - 1, folder, case when folder = cover.source_id then root else tree_id() end
        from tree_live_folders(tenant, 'folder', cover.source_id, null) folder;
        -- Those further out first: each is checked against those that it lies in.
        with made as (
            insert into folders (tenant_id, id, workspace_id, parent_id, name, name_normalized, metadata, created_by_kind, created_by)
            select tenant, place.copy_id, workspace, parent.copy_id, source.name, source.name_normalized, source.metadata,
                actor_kind, actor
            from cover_places place
            join folders source on source.tenant_id = tenant and source.id = place.folder_id
            join cover_places parent on parent.tenant_id = tenant and parent.cover_id = root and parent.folder_id = source.parent_id
            where place.tenant_id = tenant and place.cover_id = root and place.number > 0
            order by place.number
            returning id
        )
        select coalesce(array_agg(id), '{}') into new_folders from made;
        update jobs set total = (
            select sum(1 + tree_place_count(tenant, null, folder_id, false)) from cover_places
            where tenant_id = tenant and cover_id = root
        )
        where tenant_id = tenant and id = job;
        update covers set is_listed = true where tenant_id = tenant and id = root;
        return next;
        return;
    end if;
    select storage_quota - used_storage into unused from workspaces where tenant_id = tenant and id = workspace;
    with candidates as materialized (
        select *, tree_id() as new_id from tree_copy_next(cover, most)
    ), chosen as materialized (
        select * from candidates where running <= least(room, coalesce(unused, room))
    ), sources as materialized (
        select chosen.new_id, chosen.copy_id, file.name, file.name_normalized, file.file_type, file.tags, file.metadata,
            version.blob_id, version.size, version.checksum, version.mime_type, version.declared_mime_type, version.user_metadata
        from chosen
        -- One by one through their keys, whatever the planner thinks of the tables' sizes.
        cross join lateral (
            select name, name_normalized, file_type, tags, metadata, current_version from files
            where files.tenant_id = tenant and files.id = chosen.file_id limit 1
        ) file
        cross join lateral (
            select blob_id, size, checksum, mime_type, declared_mime_type, user_metadata from file_versions
            where file_versions.tenant_id = tenant and file_versions.file_id = chosen.file_id
                and file_versions.version_number = file.current_version limit 1
        ) version
    ), held as materialized (
        -- Whoever removes one looks for versions once he has its lock.
        select id from blobs where tenant_id = tenant and state = 'ready' and id = any(array(select blob_id from sources))
        order by id for share
    ), made as (
        insert into files (tenant_id, id, workspace_id, folder_id, name, name_normalized, file_type, mime_type, declared_mime_type,
            size, checksum, tags, metadata, created_by_kind, created_by)
        select tenant, new_id, workspace, copy_id, name, name_normalized, file_type, mime_type, declared_mime_type, size, checksum,
            tags, metadata, actor_kind, actor
        from sources where exists (select from held where held.id = sources.blob_id) order by new_id
        -- A file that was copied already can have given its name to another one since.
        on conflict do nothing
        returning id, size
    ), versions as (
        insert into file_versions (tenant_id, id, file_id, version_number, blob_id, size, checksum, mime_type, declared_mime_type,
            user_metadata, account_id, modified_by_kind, modified_by)
        select tenant, tree_id(), made.id, 1, blob_id, sources.size, checksum, mime_type, declared_mime_type, user_metadata, account,
            actor_kind, actor
        from made join sources on sources.new_id = made.id
    )
    select (select count(*) from candidates), (select count(*) from chosen), (select min(running) from candidates),
        (select number from chosen order by number desc, file_id desc limit 1),
        (select file_id from chosen order by number desc, file_id desc limit 1),
        coalesce(array_agg(id), '{}'), coalesce(sum(size), 0)
    into available, taken, smallest, last_number, last_file, new_files, bytes from made;
    update workspaces set used_storage = used_storage + bytes where tenant_id = tenant and id = workspace and bytes > 0;
    if taken = 0 and available > 0 then
        outcome := case when smallest > unused then 'full' else 'room' end;
        return next;
        return;
    end if;
    if taken < available or available = most then
        listed := last_number - cover.place;
        cover.after_item := last_file;
    else
        select least(cover.place + 100, count(*)) - cover.place into listed
        from cover_places where tenant_id = tenant and cover_id = root;
        cover.after_item := '00000000-0000-0000-0000-000000000000';
    end if;
    cover.place := cover.place + listed;
    if exists (select from cover_places where tenant_id = tenant and cover_id = root and number >= cover.place) then
        update covers set place = cover.place, after_item = cover.after_item where tenant_id = tenant and id = root;
        update jobs set done = done + taken + listed where tenant_id = tenant and id = job;
    else
        perform tree_end(cover, taken + listed);
        outcome := 'done';
    end if;
    return next;
end
$$;

-- Has a copy that can't be finished removed again.
create function tree_discard(root uuid, job uuid, reason text) returns void
language sql volatile security definer
set search_path from current
as $$
    update covers set task = 'discard', reason = tree_discard.reason
    where tenant_id = app_tenant_id() and id = root and job_id = job and task = 'copy'
$$;

-- The same because somebody wishes it, at once. False where the job makes no copy, or none any more.
create function tree_cancel(job uuid) returns boolean
language plpgsql volatile security definer
set search_path from current
as $$
declare
    tenant constant uuid := app_tenant_id();
begin
    update covers set task = 'discard', reason = 'cancelled' where tenant_id = tenant and job_id = job and task = 'copy';
    if not found then
        return exists (select from covers where tenant_id = tenant and job_id = job and task = 'discard');
    end if;
    perform tree_try_again(job);
    update jobs set run_at = now() where tenant_id = tenant and id = job and state = 'queued';
    return true;
end
$$;

-- Removes about `most` files and folders of a copy that was given up, what lies further in first, and ends its job. Says how many
-- files and bytes went.
create function tree_discard_step(root uuid, job uuid, most integer)
returns table (outcome text, files_gone bigint, bytes bigint)
language plpgsql volatile security definer
set search_path from current
as $$
#variable_conflict use_column
declare
    tenant constant uuid := app_tenant_id();
    workspace uuid;
    cover covers;
    here cover_places;
    handled integer := 0;
    doomed uuid[] := '{}';
    more uuid[];
    released uuid[];
begin
    workspace := tree_copy_lock(tenant, root);
    cover := tree_claim(root, job, 'discard');
    files_gone := 0;
    bytes := 0;
    if cover.id is null then
        outcome := 'cancelled';
        return next;
        return;
    end if;
    outcome := 'more';
    while handled < most loop
        select * into here from cover_places where tenant_id = tenant and cover_id = root order by number desc limit 1;
        if here.number is null then
            delete from folders where tenant_id = tenant and id = root;
            update jobs set state = case when cover.reason = 'cancelled' then 'cancelled' else 'failed' end,
                last_error = coalesce(cover.reason, last_error), finished_at = now(), locked_by = null, locked_until = null
            where tenant_id = tenant and id = job;
            delete from covers where tenant_id = tenant and id = root;
            outcome := 'done';
            exit;
        end if;
        more := tree_place_files(tenant, null, here.copy_id, true, '00000000-0000-0000-0000-000000000000', most - handled);
        if cardinality(more) > 0 then
            doomed := more;
            exit;
        end if;
        delete from folders where tenant_id = tenant and id = here.copy_id;
        delete from cover_places where tenant_id = tenant and cover_id = root and number = here.number;
        handled := handled + 1;
    end loop;
    if cardinality(doomed) > 0 then
        with gone as (
            delete from file_versions where tenant_id = tenant and file_id = any(doomed) returning size, blob_id
        )
        select sum(size), array_agg(distinct blob_id) into bytes, released from gone;
        delete from files where tenant_id = tenant and id = any(doomed);
        perform from blobs where tenant_id = tenant and id = any(released) order by id for no key update;
        update blobs set unreferenced_since = now() where tenant_id = tenant and id = any(released)
            and not exists (select from file_versions where tenant_id = tenant and blob_id = blobs.id);
        update workspaces set used_storage = greatest(0, used_storage - bytes) where tenant_id = tenant and id = workspace;
        files_gone := cardinality(doomed);
    end if;
    return next;
end
$$;

-- Begins to purge a deleted folder or workspace with everything in it, whose row is locked. Says which job is at it now: one that was
-- given up goes on; none where another one deletes or purges it, or was given up before all in it was deleted.
create function tree_purge_begin(kind text, root uuid, job uuid) returns uuid
language plpgsql volatile security definer
set search_path from current
as $$
declare
    tenant constant uuid := app_tenant_id();
    cover covers;
begin
    -- What is still being deleted in there may live yet.
    perform tree_check(kind, root, true, false);
    insert into covers (tenant_id, id, kind, task, job_id)
    values (tenant, root, tree_purge_begin.kind, 'purge', job) on conflict do nothing;
    if found then
        return job;
    end if;
    select * into cover from covers where tenant_id = tenant and id = root and task = 'purge' for update;
    if exists (select from jobs where tenant_id = tenant and id = cover.job_id and state = 'failed') then
        perform tree_try_again(cover.job_id);
        return cover.job_id;
    end if;
    return null;
end
$$;

-- Keeps what is purged from being moved or restored, in everybody's order.
create function tree_purge_lock(tenant uuid, root uuid) returns void
language plpgsql volatile
set search_path from current
as $$
declare
    workspace uuid;
begin
    select workspace_id into workspace from folders where tenant_id = tenant and id = root;
    if found then
        perform workspace_lock(array[workspace]);
    else
        perform workspace_lock(array(select id from workspaces where tenant_id = tenant and position(root::text in workspace_path) > 0));
    end if;
end
$$;

-- Goes on with a purge: names at most `most_files` files that are to go in the same transaction, or removes about `most` folders in
-- which nothing lies any more, what lies further in first. `more`, `done` and `cancelled` as of `tree_step`.
create function tree_purge_step(root uuid, job uuid, most integer, most_files integer) returns table (outcome text, doomed uuid[])
language plpgsql volatile security definer
set search_path from current
as $$
#variable_conflict use_column
declare
    tenant constant uuid := app_tenant_id();
    cover covers;
    here cover_places;
    handled integer := 0;
begin
    perform tree_purge_lock(tenant, root);
    cover := tree_claim(root, job, 'purge');
    doomed := '{}';
    outcome := 'more';
    if cover.id is null then
        outcome := 'cancelled';
        return next;
        return;
    end if;
    if not cover.is_listed then
        perform tree_list(cover, most);
        return next;
        return;
    end if;
    while handled < most loop
        select * into here from cover_places where tenant_id = tenant and cover_id = root order by number desc limit 1;
        if here.number is null then
            delete from workspaces where tenant_id = tenant and position(root::text in workspace_path) > 0 and deleted_at is not null;
            perform tree_end(cover, handled);
            outcome := 'done';
            return next;
            return;
        end if;
        doomed := tree_place_files(tenant, here.workspace_id, here.folder_id, true, '00000000-0000-0000-0000-000000000000', most_files);
        exit when cardinality(doomed) > 0;
        delete from folders where tenant_id = tenant and id = here.folder_id and deleted_at is not null;
        delete from cover_places where tenant_id = tenant and cover_id = root and number = here.number;
        handled := handled + 1;
    end loop;
    update jobs set done = done + handled where tenant_id = tenant and id = job;
    return next;
end
$$;

revoke all on function tree_count_live(uuid, text, uuid, bigint), tree_live_folders(uuid, text, uuid, bigint),
    tree_has(uuid, text, uuid, text, uuid), tree_check(text, uuid, boolean, boolean), tree_check_restore(text, uuid),
    tree_claim(uuid, uuid, text[]), tree_try_again(uuid), tree_revive(interval),
    tree_begin(text, uuid, text, uuid, integer), tree_step(uuid, uuid, integer), folder_restore(uuid, uuid), workspace_restore(uuid, uuid),
    workspace_list(text, text, uuid, boolean, uuid, bigint), tree_place_files(uuid, uuid, uuid, boolean, uuid, bigint),
    tree_place_count(uuid, uuid, uuid, boolean), tree_place_folders(uuid, uuid, uuid, boolean, uuid, bigint), tree_list(covers, integer),
    tree_delete_step(covers, integer), tree_restore_step(covers, integer), tree_end(covers, bigint),
    tree_id(), tree_measure(uuid), tree_copy_begin(uuid, uuid, uuid, integer), tree_copy_next(covers, integer),
    tree_copy_need(uuid, uuid, integer), tree_copy_lock(uuid, uuid),
    tree_copy_step(uuid, uuid, integer, bigint, text, uuid, uuid), tree_discard(uuid, uuid, text), tree_cancel(uuid),
    tree_discard_step(uuid, uuid, integer), tree_purge_begin(text, uuid, uuid), tree_purge_lock(uuid, uuid), tree_purge_step(uuid, uuid, integer, integer) from public;
grant execute on function tree_begin(text, uuid, text, uuid, integer), tree_step(uuid, uuid, integer), folder_restore(uuid, uuid),
    workspace_restore(uuid, uuid), workspace_list(text, text, uuid, boolean, uuid, bigint), tree_check(text, uuid, boolean, boolean),
    tree_check_restore(text, uuid), tree_revive(interval), tree_measure(uuid), tree_copy_begin(uuid, uuid, uuid, integer),
    tree_copy_need(uuid, uuid, integer), tree_copy_step(uuid, uuid, integer, bigint, text, uuid, uuid), tree_discard(uuid, uuid, text),
    tree_cancel(uuid), tree_discard_step(uuid, uuid, integer), tree_purge_begin(text, uuid, uuid),
    tree_purge_step(uuid, uuid, integer, integer)
    to tenant_app;
