-- Why: contents (blobs, one for equal bytes), the files that people see, their versions, and the uploads under way.
-- Locks: none that matter, the tables are new; short share locks on workspaces and folders for the foreign keys.

-- What objects are sealed under: 256 bits each, sealed themselves under the installation's master key. Uploads take the one with
-- the highest number. Without its row nobody opens what it sealed.
create table content_keys (
    tenant_id uuid not null default app_tenant_id(),
    id uuid not null default gen_random_uuid(),
    number integer not null,
    sealed bytea not null,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint content_keys_pkey primary key (tenant_id, id),
    constraint content_keys_number_key unique (tenant_id, number),
    constraint content_keys_tenant_id_fkey foreign key (tenant_id) references tenant_identity (tenant_id),
    constraint content_keys_number_check check (number >= 1)
);
create trigger content_keys_set_updated_at before update on content_keys for each row execute function set_updated_at();

create table blobs (
    tenant_id uuid not null default app_tenant_id(),
    id uuid not null default gen_random_uuid(),
    sha256 bytea not null,
    -- Where somebody asked for it. Collisions are cheap to make, so it is no key.
    md5_hash bytea,
    size bigint not null,
    -- What the bytes were taken for when they first came. A file's own type can differ: it depends on the name as well.
    mime_type text,
    bucket text not null,
    object_key text not null,
    -- None: its object is the content as it is.
    content_key_id uuid,
    -- `deleting`: its object is being removed. It is no longer shared; the same bytes get a new row.
    state text not null default 'ready',
    -- When its last version went; only a hint, whoever deletes it looks again.
    unreferenced_since timestamptz,
    -- When its object was last known to hold these bytes: as it was written, or as it was read again.
    verified_at timestamptz not null default now(),
    -- Somebody reads it again, and has until then.
    verifying_until timestamptz,
    -- What was found instead of the bytes, and since when. The same bytes, uploaded again, take its place.
    damage text,
    damaged_at timestamptz,
    created_by_kind text not null default 'system',
    created_by uuid,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint blobs_pkey primary key (tenant_id, id),
    constraint blobs_object_key_key unique (tenant_id, object_key),
    constraint blobs_tenant_id_fkey foreign key (tenant_id) references tenant_identity (tenant_id),
    constraint blobs_content_key_id_fkey foreign key (tenant_id, content_key_id) references content_keys (tenant_id, id),
    constraint blobs_sha256_check check (octet_length(sha256) = 32),
    constraint blobs_md5_hash_check check (octet_length(md5_hash) = 16),
    constraint blobs_size_check check (size >= 0),
    constraint blobs_mime_type_check check (mime_type <> '' and length(mime_type) <= 255),
    constraint blobs_object_key_check check (object_key <> '' and length(object_key) <= 1024),
    constraint blobs_state_check check (state in ('ready', 'deleting')),
    constraint blobs_damage_check check (damage in ('missing', 'altered', 'unreadable')),
    constraint blobs_damaged_at_check check ((damage is null) = (damaged_at is null)),
    constraint blobs_created_by_kind_check check (created_by_kind in ('system', 'platform_key', 'organization_key', 'tenant_key', 'user', 'anonymous'))
);
create unique index blobs_sha256_key on blobs (tenant_id, sha256) where state = 'ready';
create index blobs_md5_hash_idx on blobs (tenant_id, md5_hash) where md5_hash is not null;
create index blobs_content_key_id_idx on blobs (tenant_id, content_key_id) where content_key_id is not null;
create index blobs_bucket_idx on blobs (tenant_id, bucket);
create index blobs_state_idx on blobs (tenant_id, state, updated_at);
create index blobs_unreferenced_since_idx on blobs (tenant_id, unreferenced_since) where unreferenced_since is not null;
create index blobs_verified_at_idx on blobs (tenant_id, verified_at) where state = 'ready';
create index blobs_damage_idx on blobs (tenant_id, id) where damage is not null;
create trigger blobs_set_updated_at before update on blobs for each row execute function set_updated_at();

create table files (
    tenant_id uuid not null default app_tenant_id(),
    id uuid not null default gen_random_uuid(),
    workspace_id uuid not null,
    folder_id uuid,
    name text not null,
    name_normalized text not null,
    -- The kind that people think in: document, image, archive … and `other`.
    file_type text not null default 'other',
    -- What the bytes are, and what the uploader said they were.
    mime_type text not null default 'application/octet-stream',
    declared_mime_type text,
    current_version integer not null default 1,
    -- The current version's, so that a list needs no join.
    size bigint not null,
    checksum bytea not null,
    tags text[] not null default '{}',
    metadata jsonb not null default '{}',
    created_by_kind text not null default 'system',
    created_by uuid,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    deleted_at timestamptz,
    -- The folder or workspace whose deletion took this one along, and whose restoring brings it back.
    deleted_with uuid,
    is_deleted boolean not null generated always as (deleted_at is not null) stored,
    constraint files_pkey primary key (tenant_id, id),
    constraint files_tenant_id_fkey foreign key (tenant_id) references tenant_identity (tenant_id),
    constraint files_workspace_id_fkey foreign key (tenant_id, workspace_id) references workspaces (tenant_id, id),
    constraint files_folder_id_fkey foreign key (tenant_id, workspace_id, folder_id) references folders (tenant_id, workspace_id, id)
        on update cascade,
    constraint files_name_check check (name <> '' and octet_length(name) <= 255),
    constraint files_file_type_check check (file_type ~ '^[a-z][a-z0-9_]{0,62}$'),
    constraint files_mime_type_check check (length(mime_type) <= 255 and length(declared_mime_type) <= 255),
    constraint files_current_version_check check (current_version >= 1),
    constraint files_size_check check (size >= 0),
    constraint files_checksum_check check (octet_length(checksum) = 32),
    constraint files_tags_check check (array_position(tags, null) is null),
    constraint files_metadata_check check (jsonb_typeof(metadata) = 'object'),
    constraint files_deleted_with_check check (deleted_with is null or deleted_at is not null),
    constraint files_created_by_kind_check check (created_by_kind in ('system', 'platform_key', 'organization_key', 'tenant_key', 'user', 'anonymous'))
);
create unique index files_name_key on files (tenant_id, workspace_id, folder_id, name_normalized) nulls not distinct where deleted_at is null;
create index files_workspace_id_idx on files (tenant_id, workspace_id, id);
create index files_folder_id_idx on files (tenant_id, folder_id, id);
create index files_workspace_folder_idx on files (tenant_id, workspace_id, folder_id, id);
create index files_current_version_idx on files (tenant_id, id, current_version);
create index files_path_idx on files (tenant_id, workspace_id, folder_id, name collate "C") where deleted_at is null;
create index files_name_idx on files (tenant_id, name_normalized, id);
create index files_file_type_idx on files (tenant_id, file_type, id);
create index files_created_at_idx on files (tenant_id, created_at, id);
create index files_live_idx on files (tenant_id, id) where deleted_at is null;
create index files_size_idx on files (tenant_id, size, id);
create index files_updated_at_idx on files (tenant_id, updated_at, id);
-- One place by size or by change. Without them a page of a folder walks over the files of the whole tenant: 200,000 that are larger, or
-- newer, took 0.2 to 0.6 s, and with them any page takes less than 1 ms. A new file writes 0.4 KB more of write-ahead log for both
-- (2.6 instead of 2.2), which its time does not show.
create index files_place_size_idx on files (tenant_id, workspace_id, folder_id, size, id) where deleted_at is null;
create index files_place_updated_at_idx on files (tenant_id, workspace_id, folder_id, updated_at, id) where deleted_at is null;
-- What was deleted with a folder or workspace is purged with it.
create index files_deleted_at_idx on files (tenant_id, deleted_at) where deleted_at is not null and deleted_with is null;
create index files_tags_idx on files using gin (tenant_id, tags);
create index files_deleted_with_idx on files (tenant_id, deleted_with, id) where deleted_with is not null;
create index files_metadata_idx on files using gin (tenant_id, metadata jsonb_path_ops);
create trigger files_set_updated_at before update on files for each row execute function set_updated_at();

create table file_versions (
    tenant_id uuid not null default app_tenant_id(),
    id uuid not null default gen_random_uuid(),
    file_id uuid not null,
    version_number integer not null,
    blob_id uuid not null,
    size bigint not null,
    checksum bytea not null,
    mime_type text not null default 'application/octet-stream',
    declared_mime_type text,
    -- What its sender said of these bytes by S3 (`x-amz-meta-…`): names in lower case, each with a text; before those of headers of
    -- the content (`cache-control`) a colon. Told again and never looked for, so it has no index, unlike what is `jsonb`.
    user_metadata json,
    -- What the object store calls the version, where it keeps versions.
    storage_version_id text,
    -- The storage account that its bytes are charged to.
    account_id uuid,
    change_summary text,
    modified_by_kind text not null default 'system',
    modified_by uuid,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint file_versions_pkey primary key (tenant_id, id),
    constraint file_versions_file_id_version_number_key unique (tenant_id, file_id, version_number),
    constraint file_versions_tenant_id_fkey foreign key (tenant_id) references tenant_identity (tenant_id),
    constraint file_versions_file_id_fkey foreign key (tenant_id, file_id) references files (tenant_id, id) on delete cascade,
    constraint file_versions_blob_id_fkey foreign key (tenant_id, blob_id) references blobs (tenant_id, id),
    constraint file_versions_version_number_check check (version_number >= 1),
    constraint file_versions_size_check check (size >= 0),
    constraint file_versions_checksum_check check (octet_length(checksum) = 32),
    constraint file_versions_user_metadata_check check (json_typeof(user_metadata) = 'object'),
    constraint file_versions_change_summary_check check (length(change_summary) <= 2000),
    constraint file_versions_modified_by_kind_check check (modified_by_kind in ('system', 'platform_key', 'organization_key', 'tenant_key', 'user', 'anonymous'))
);
create index file_versions_blob_id_idx on file_versions (tenant_id, blob_id);
create index file_versions_account_id_idx on file_versions (tenant_id, account_id) where account_id is not null;
create trigger file_versions_set_updated_at before update on file_versions for each row execute function set_updated_at();
-- Each refers to the other, so this side is checked at the commit.
alter table files add constraint files_current_version_fkey foreign key (tenant_id, id, current_version)
    references file_versions (tenant_id, file_id, version_number) deferrable initially deferred;

-- Bytes of all versions of all files in the folders.
create function folders_size(folders uuid[]) returns bigint
language sql stable
set search_path from current
as $$
    select coalesce(sum(version.size), 0)::bigint
    from files join file_versions version on version.tenant_id = files.tenant_id and version.file_id = files.id
    where files.tenant_id = app_tenant_id() and files.folder_id = any(folders)
$$;
revoke all on function folders_size(uuid[]) from public;
grant execute on function folders_size(uuid[]) to tenant_app;

-- Written before an object is: whatever a crash leaves behind is found by it.
create table upload_intents (
    tenant_id uuid not null default app_tenant_id(),
    id uuid not null default gen_random_uuid(),
    bucket text not null,
    object_key text not null,
    -- What the store calls the upload of the object, where it comes in parts.
    store_upload text,
    -- The quota reservation in `saas_platform` that the upload holds.
    reservation_id uuid,
    bytes bigint,
    state text not null default 'pending',
    expires_at timestamptz not null,
    created_by_kind text not null default 'system',
    created_by uuid,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint upload_intents_pkey primary key (tenant_id, id),
    constraint upload_intents_object_key_key unique (tenant_id, object_key),
    constraint upload_intents_tenant_id_fkey foreign key (tenant_id) references tenant_identity (tenant_id),
    constraint upload_intents_object_key_check check (object_key <> '' and length(object_key) <= 1024),
    constraint upload_intents_bytes_check check (bytes >= 0),
    -- `stray`: an object that no row named, and that stays until somebody wants it removed.
    constraint upload_intents_state_check check (state in ('pending', 'stored', 'abandoned', 'stray')),
    constraint upload_intents_created_by_kind_check check (created_by_kind in ('system', 'platform_key', 'organization_key', 'tenant_key', 'user', 'anonymous'))
);
create index upload_intents_state_expires_at_idx on upload_intents (tenant_id, state, expires_at);
create index upload_intents_reservation_id_idx on upload_intents (tenant_id, reservation_id);
create trigger upload_intents_set_updated_at before update on upload_intents for each row execute function set_updated_at();

-- Room that a replica of the data plane has leased in `saas_platform`, as a reservation of the same id. A transaction that spends of
-- it shares the lock of its row while it is open. Closing it waits for those; from then on everything that was spent stands in
-- `jobs` or has been counted.
create table quota_blocks (
    tenant_id uuid not null default app_tenant_id(),
    id uuid not null,
    bytes bigint not null,
    state text not null default 'open',
    -- Its holder is taken for dead then.
    expires_at timestamptz not null,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint quota_blocks_pkey primary key (tenant_id, id),
    constraint quota_blocks_tenant_id_fkey foreign key (tenant_id) references tenant_identity (tenant_id),
    constraint quota_blocks_bytes_check check (bytes >= 0),
    constraint quota_blocks_state_check check (state in ('open', 'closed'))
);
create index quota_blocks_state_expires_at_idx on quota_blocks (tenant_id, state, expires_at);
create trigger quota_blocks_set_updated_at before update on quota_blocks for each row execute function set_updated_at();

alter table content_keys enable row level security;
create policy tenant_isolation on content_keys to tenant_app using (tenant_id = app_tenant_id()) with check (tenant_id = app_tenant_id());
grant select, insert, delete on content_keys to tenant_app;
alter table blobs enable row level security;
create policy tenant_isolation on blobs to tenant_app using (tenant_id = app_tenant_id()) with check (tenant_id = app_tenant_id());
alter table files enable row level security;
create policy tenant_isolation on files to tenant_app using (tenant_id = app_tenant_id()) with check (tenant_id = app_tenant_id());
alter table file_versions enable row level security;
create policy tenant_isolation on file_versions to tenant_app using (tenant_id = app_tenant_id()) with check (tenant_id = app_tenant_id());
alter table upload_intents enable row level security;
create policy tenant_isolation on upload_intents to tenant_app using (tenant_id = app_tenant_id()) with check (tenant_id = app_tenant_id());
alter table quota_blocks enable row level security;
create policy tenant_isolation on quota_blocks to tenant_app using (tenant_id = app_tenant_id()) with check (tenant_id = app_tenant_id());
grant select, insert, update, delete on blobs, files, file_versions, upload_intents, quota_blocks to tenant_app;

-- As on folders: hidden while a job is at work where it lies.
create policy not_covered on files as restrictive to tenant_app
    using (deleted_at is not null
        or (select not exists (select from covers where tenant_id = app_tenant_id() and task <> 'purge'))
        or not app_is_covered(workspace_id, folder_id));

-- A page of a list of files in any order, by tag and metadata too, which row-level security keeps off their indexes: it runs as the
-- owner and filters by the tenant itself. `after_key` is the last row's value that it is sorted by, as text; nothing for the first page.
create function files_page(workspace uuid, folder uuid, at_top boolean, in_trash boolean, tag text, fields jsonb, sort text,
    downwards boolean, after_key text, after_id uuid, lim bigint)
returns setof uuid
language plpgsql stable security definer
set search_path from current
rows 50
as $$
declare
    key constant text := case sort when 'name' then 'f.name_normalized' when 'size' then 'f.size' when 'updated_at' then 'f.updated_at'
        else 'f.id' end;
    after constant text := case sort when 'name' then '$6' when 'size' then '$6::bigint' when 'updated_at' then '$6::timestamptz'
        else '$7' end;
    direction constant text := case when downwards then 'desc' else 'asc' end;
begin
    if folder is not null and workspace is null then
        -- Said only so that the indexes of places serve.
        select workspace_id into workspace from folders where tenant_id = app_tenant_id() and id = folder;
    end if;
    return query execute
        'select f.id from files f where f.tenant_id = $1'
        || case when in_trash then ' and f.deleted_at is not null'
            else ' and f.deleted_at is null and ((select app_nothing_is_covered()) or not app_is_covered(f.workspace_id, f.folder_id))' end
        || case when workspace is null then '' else ' and f.workspace_id = $2' end
        || case when at_top then ' and f.folder_id is null' when folder is null then '' else ' and f.folder_id = $3' end
        || case when tag is null then '' else ' and f.tags @> array[$4]' end
        || case when fields is null then '' else ' and f.metadata @> $5' end
        || case when after_id is null then ''
            else format(' and (%s, f.id) %s (%s, $7)', key, case when downwards then '<' else '>' end, after) end
        -- All files of one place have the same folder. It is named for a workspace's top, so that an index gives the order there, too:
        -- PostgreSQL does not see that what is null is all the same.
        || format(' order by %s%s %s, f.id %3$s limit $8',
            case when at_top or folder is not null then 'f.folder_id ' || direction || ', ' end, key, direction)
        using app_tenant_id(), workspace, folder, tag, fields, after_key, after_id, least(lim, 201);
end
$$;
revoke all on function files_page(uuid, uuid, boolean, boolean, text, jsonb, text, boolean, text, uuid, bigint) from public;
grant execute on function files_page(uuid, uuid, boolean, boolean, text, jsonb, text, boolean, text, uuid, bigint) to tenant_app;
