-- Why: a folder or workspace is deleted and restored with what lies in it: at once where that is little, else by a job, batch by
-- batch, under a cover (see V2). They run as the owner, whom the covers do not bind, and filter on `app_tenant_id()` themselves.
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

-- Whether a cover lies in a folder or workspace.
create function tree_has(tenant uuid, kind text, root uuid, cover covers) returns boolean
language plpgsql stable
set search_path from current
as $$
declare
    ancestor uuid := cover.id;
    workspace uuid := cover.id;
begin
    if cover.kind = 'folder' then
        while ancestor is not null loop
            if ancestor = root then
                return true;
            end if;
            select parent_id, workspace_id into ancestor, workspace from folders where tenant_id = tenant and id = ancestor;
        end loop;
    end if;
    return kind = 'workspace' and exists (
        select from workspaces where tenant_id = tenant and id = workspace and position(root::text in workspace_path) > 0
    );
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
    for cover in select * from covers where tenant_id = tenant and id <> root and covers.task <> 'delete' loop
        if tree_has(tenant, kind, root, cover) then
            raise exception 'a job is at work in it'
                using errcode = 'check_violation', constraint = 'covers_inside_check', table = 'covers';
        end if;
    end loop;
    select * into cover from covers where tenant_id = tenant and id = root for update;
    if cover.id is not null then
        update jobs set state = 'cancelled', finished_at = now(), locked_by = null, locked_until = null
        where tenant_id = tenant and id = cover.job_id and state in ('queued', 'running');
        update covers set task = tree_begin.task, job_id = tree_begin.job, place = null, after_item = default
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
    tenant constant uuid := app_tenant_id();
    cover covers;
begin
    select * into cover from covers where tenant_id = tenant and id = root for update;
    if cover.job_id is distinct from job then
        return 'cancelled';
    end if;
    if cover.task = 'delete' then
        return tree_delete_step(cover, most);
    end if;
    return tree_restore_step(cover, most);
end
$$;

-- Lists the places of a tree, and says how much there is in all.
create function tree_list(cover covers) returns bigint
language plpgsql volatile
set search_path from current
as $$
declare
    listed bigint;
    tops bigint := 0;
begin
    insert into cover_places (tenant_id, cover_id, number, folder_id)
    select cover.tenant_id, cover.id, row_number() over () - 1, folder
    from tree_live_folders(cover.tenant_id, cover.kind, cover.id, null) folder;
    get diagnostics listed = row_count;
    if cover.kind = 'workspace' then
        insert into cover_places (tenant_id, cover_id, number, workspace_id)
        select cover.tenant_id, cover.id, listed + row_number() over () - 1, id
        from workspaces where tenant_id = cover.tenant_id and (id = cover.id or deleted_with = cover.id);
        get diagnostics tops = row_count;
    end if;
    return listed + tops + (
        select count(*) from cover_places place
        join files file on file.tenant_id = cover.tenant_id and file.folder_id = place.folder_id and file.deleted_at is null
        where place.tenant_id = cover.tenant_id and place.cover_id = cover.id
    ) + (
        select count(*) from cover_places place
        join files file on file.tenant_id = cover.tenant_id and file.workspace_id = place.workspace_id and file.folder_id is null
            and file.deleted_at is null
        where place.tenant_id = cover.tenant_id and place.cover_id = cover.id
    );
end
$$;

create function tree_delete_step(cover covers, most integer) returns text
language plpgsql volatile
set search_path from current
as $$
declare
    tenant constant uuid := cover.tenant_id;
    died timestamptz;
    listed bigint;
    handled integer := 0;
    touched integer;
    here cover_places;
    last uuid;
begin
    if cover.place is null then
        listed := tree_list(cover);
        update jobs set total = listed where tenant_id = tenant and id = cover.job_id;
        update covers set place = 0 where tenant_id = tenant and id = cover.id;
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
        if here.folder_id is not null then
            with next as (
                select id from files where tenant_id = tenant and folder_id = here.folder_id and deleted_at is null
                    and id > cover.after_item order by id limit most - handled
            ), marked as (
                update files set deleted_at = died, deleted_with = cover.id from next
                where files.tenant_id = tenant and files.id = next.id and files.deleted_at is null returning files.id
            )
            select count(*), (select id from next order by id desc limit 1) into touched, last from next;
        else
            with next as (
                select id from files where tenant_id = tenant and workspace_id = here.workspace_id and folder_id is null
                    and deleted_at is null and id > cover.after_item order by id limit most - handled
            ), marked as (
                update files set deleted_at = died, deleted_with = cover.id from next
                where files.tenant_id = tenant and files.id = next.id and files.deleted_at is null returning files.id
            )
            select count(*), (select id from next order by id desc limit 1) into touched, last from next;
        end if;
        if touched = most - handled then
            cover.after_item := last;
            handled := handled + touched;
        else
            update folders set deleted_at = died, deleted_with = cover.id
            where tenant_id = tenant and id = here.folder_id and deleted_at is null and id <> cover.id;
            cover.place := cover.place + 1;
            cover.after_item := '00000000-0000-0000-0000-000000000000';
            handled := handled + touched + 1;
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
    if cover.place is null then
        update jobs set total = (select count(*) from folders where tenant_id = tenant and deleted_with = cover.id)
            + (select count(*) from files where tenant_id = tenant and deleted_with = cover.id)
        where tenant_id = tenant and id = cover.job_id;
        update covers set place = 0 where tenant_id = tenant and id = cover.id;
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

revoke all on function tree_count_live(uuid, text, uuid, bigint), tree_live_folders(uuid, text, uuid, bigint),
    tree_has(uuid, text, uuid, covers), tree_begin(text, uuid, text, uuid, integer), tree_step(uuid, uuid, integer),
    folder_restore(uuid, uuid), workspace_restore(uuid, uuid), workspace_list(text, text, uuid, boolean, uuid, bigint),
    tree_list(covers), tree_delete_step(covers, integer), tree_restore_step(covers, integer), tree_end(covers, bigint) from public;
grant execute on function tree_begin(text, uuid, text, uuid, integer), tree_step(uuid, uuid, integer), folder_restore(uuid, uuid),
    workspace_restore(uuid, uuid), workspace_list(text, text, uuid, boolean, uuid, bigint) to tenant_app;
