-- Why: the doors beside the API with a key: signed links, and uploads in parts (tus, S3 multipart).
-- Locks: none that matter, the tables are new; short share locks on workspaces, folders and files for the foreign keys.

-- A grant to whoever has its address. The address is signed and stands for itself; the row is there to be revoked.
create table links (
    tenant_id uuid not null default app_tenant_id(),
    id uuid not null default gen_random_uuid(),
    kind text not null,
    -- Of a download: the file, and a version of it where it is not to be the current one.
    file_id uuid,
    version_number integer,
    is_inline boolean not null default false,
    -- Of an upload: where the file goes, and what it must be.
    workspace_id uuid,
    folder_id uuid,
    name text,
    size bigint,
    mime_type text,
    -- The key that made it, a row of `saas_platform`: the link is worth what the key is worth.
    key_id uuid not null,
    expires_at timestamptz not null,
    revoked_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint links_pkey primary key (tenant_id, id),
    constraint links_tenant_id_fkey foreign key (tenant_id) references tenant_identity (tenant_id),
    constraint links_file_id_fkey foreign key (tenant_id, file_id) references files (tenant_id, id) on delete cascade,
    constraint links_workspace_id_fkey foreign key (tenant_id, workspace_id) references workspaces (tenant_id, id) on delete cascade,
    constraint links_folder_id_fkey foreign key (tenant_id, workspace_id, folder_id) references folders (tenant_id, workspace_id, id)
        on update cascade on delete cascade,
    constraint links_kind_check check (kind in ('download', 'upload')),
    constraint links_download_check check (kind <> 'download' or (file_id is not null and workspace_id is null)),
    constraint links_upload_check check (kind <> 'upload' or (file_id is null and workspace_id is not null and name is not null and size is not null)),
    constraint links_version_number_check check (version_number >= 1),
    constraint links_name_check check (name <> '' and octet_length(name) <= 255),
    constraint links_size_check check (size >= 0),
    constraint links_mime_type_check check (mime_type <> '' and length(mime_type) <= 255)
);
create index links_file_id_idx on links (tenant_id, file_id, id);
create index links_workspace_id_idx on links (tenant_id, workspace_id, folder_id);
create index links_key_id_idx on links (tenant_id, key_id, id);
create index links_expires_at_idx on links (tenant_id, expires_at);
create trigger links_set_updated_at before update on links for each row execute function set_updated_at();

-- An upload that comes in parts, over any number of requests and connections.
create table upload_sessions (
    tenant_id uuid not null default app_tenant_id(),
    id uuid not null default gen_random_uuid(),
    protocol text not null,
    -- Where the file goes; nowhere, where the upload only becomes a piece of another one.
    workspace_id uuid,
    folder_id uuid,
    -- The file's name; by S3 the whole key, whose folders are made at the end.
    name text,
    mime_type text,
    -- The whole length, where it is known before.
    length bigint,
    received bigint not null default 0,
    -- Of tus as its sender wrote it, of S3 what `file_versions.user_metadata` is to be.
    metadata text not null default '',
    -- Of tus: the partial uploads that this one is made of. They end with it.
    pieces uuid[] not null default '{}',
    -- The quota reservation in `saas_platform` that the upload holds.
    reservation_id uuid not null,
    -- What it has become. Kept for who asks again, until the upload is forgotten; no reference, as the file may go.
    made_file_id uuid,
    made_version integer,
    made_checksum bytea,
    expires_at timestamptz not null,
    created_by_kind text not null default 'system',
    created_by uuid,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint upload_sessions_pkey primary key (tenant_id, id),
    constraint upload_sessions_tenant_id_fkey foreign key (tenant_id) references tenant_identity (tenant_id),
    constraint upload_sessions_protocol_check check (protocol in ('tus', 's3')),
    constraint upload_sessions_name_check check (name <> '' and length(name) <= 1024),
    constraint upload_sessions_mime_type_check check (length(mime_type) <= 255),
    constraint upload_sessions_received_check check (received >= 0 and length >= 0 and received <= length),
    constraint upload_sessions_metadata_check check (length(metadata) <= 16384),
    constraint upload_sessions_made_check check ((made_version is null) = (made_checksum is null)),
    constraint upload_sessions_created_by_kind_check check (created_by_kind in ('system', 'platform_key', 'organization_key', 'tenant_key', 'user', 'anonymous'))
);
create index upload_sessions_workspace_id_idx on upload_sessions (tenant_id, workspace_id, protocol, id);
create index upload_sessions_expires_at_idx on upload_sessions (tenant_id, expires_at, id);
create trigger upload_sessions_set_updated_at before update on upload_sessions for each row execute function set_updated_at();

-- A part that has come: an object, which goes to `upload_intents` when it is no longer wanted.
create table upload_parts (
    tenant_id uuid not null default app_tenant_id(),
    upload_id uuid not null,
    number integer not null,
    bucket text not null,
    object_key text not null,
    size bigint not null,
    checksum bytea not null,
    -- What the object is sealed under, where it is.
    content_key_id uuid,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint upload_parts_pkey primary key (tenant_id, upload_id, number),
    constraint upload_parts_object_key_key unique (tenant_id, object_key),
    constraint upload_parts_tenant_id_fkey foreign key (tenant_id) references tenant_identity (tenant_id),
    -- Not on delete cascade: an object without a row is found by nobody.
    constraint upload_parts_upload_id_fkey foreign key (tenant_id, upload_id) references upload_sessions (tenant_id, id),
    constraint upload_parts_content_key_id_fkey foreign key (tenant_id, content_key_id) references content_keys (tenant_id, id),
    constraint upload_parts_number_check check (number >= 1),
    constraint upload_parts_object_key_check check (object_key <> '' and length(object_key) <= 1024),
    constraint upload_parts_size_check check (size >= 0),
    constraint upload_parts_checksum_check check (octet_length(checksum) = 32)
);
create index upload_parts_content_key_id_idx on upload_parts (tenant_id, content_key_id) where content_key_id is not null;
create trigger upload_parts_set_updated_at before update on upload_parts for each row execute function set_updated_at();

alter table upload_sessions enable row level security;
create policy tenant_isolation on upload_sessions to tenant_app using (tenant_id = app_tenant_id()) with check (tenant_id = app_tenant_id());
alter table upload_parts enable row level security;
create policy tenant_isolation on upload_parts to tenant_app using (tenant_id = app_tenant_id()) with check (tenant_id = app_tenant_id());
grant select, insert, update, delete on upload_sessions, upload_parts to tenant_app;
alter table links enable row level security;
create policy tenant_isolation on links to tenant_app using (tenant_id = app_tenant_id()) with check (tenant_id = app_tenant_id());
grant select, insert, update, delete on links to tenant_app;
