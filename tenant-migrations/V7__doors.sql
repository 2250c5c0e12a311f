-- Why: the doors beside the API with a key: signed links.
-- Locks: none that matter, the table is new; short share locks on workspaces, folders and files for the foreign keys.

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

alter table links enable row level security;
create policy tenant_isolation on links to tenant_app using (tenant_id = app_tenant_id()) with check (tenant_id = app_tenant_id());
grant select, insert, update, delete on links to tenant_app;
