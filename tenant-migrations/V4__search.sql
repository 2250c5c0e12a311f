-- Why: what search looks into. The application writes three texts and the vectors; everything else is computed from them here.
-- Locks: none that matter, the tables are new; short share locks on files, folders and workspaces for the foreign keys.

-- Lower case and without accents, as all search compares text.
-- Bound to the dictionary when it is made, so it depends on no search path.
create function search_normalize(value text) returns text
language sql immutable parallel safe
return lower(unaccent('unaccent'::regdictionary, value));

-- Breaks names like `Q3-report_final.pdf` into words; PostgreSQL's parser would keep them whole.
create function search_words(value text) returns text
language sql immutable parallel safe
return regexp_replace(search_normalize(value), '[^[:alnum:]]+', ' ', 'g');

-- The words of an item, stemmed in English: its name weighs most, then its metadata, then its content.
-- A tsvector holds 1 MB: of a longer text, the beginning is kept.
create function search_content_tokens(name_text text, metadata_text text, search_text text) returns tsvector
language plpgsql immutable parallel safe
set search_path from current
as $$
declare
    content text := search_normalize(left(search_text, 1000000));
begin
    loop
        begin
            return setweight(to_tsvector('english', search_words(name_text)), 'A')
                || setweight(to_tsvector('english', search_words(metadata_text)), 'B')
                || to_tsvector('english', content);
        exception when program_limit_exceeded then
            if content = '' then
                raise;
            end if;
            content := left(content, length(content) / 2);
        end;
    end loop;
end
$$;

-- The words of a name and of metadata as they are: a name is not English prose.
create function search_metadata_tokens(name_text text, metadata_text text) returns tsvector
language plpgsql immutable parallel safe
set search_path from current
as $$
begin
    return setweight(to_tsvector('simple', search_words(name_text)), 'A') || setweight(to_tsvector('simple', search_words(metadata_text)), 'B');
end
$$;
revoke all on function search_normalize(text), search_words(text), search_content_tokens(text, text, text),
    search_metadata_tokens(text, text) from public;
grant execute on function search_normalize(text), search_words(text), search_content_tokens(text, text, text),
    search_metadata_tokens(text, text) to tenant_app;

-- To be written as seldom as can be: every update computes the tokens again and enters them into every index.
create table file_search (
    tenant_id uuid not null default app_tenant_id(),
    id uuid not null default gen_random_uuid(),
    file_id uuid not null,
    -- The version that was indexed, and how that went. `skipped`: nothing in it that can be read as text.
    version_number integer,
    state text not null default 'pending',
    error text,
    -- What the application writes: the name, tags and metadata as words, the extracted text.
    name_text text not null default '',
    metadata_text text not null default '',
    search_text text not null default '',
    -- What is computed of them.
    label_text text not null generated always as (search_normalize(name_text || ' ' || metadata_text)) stored,
    content_tokens tsvector not null generated always as (search_content_tokens(name_text, metadata_text, search_text)) stored,
    metadata_tokens tsvector not null generated always as (search_metadata_tokens(name_text, metadata_text)) stored,
    -- The mean of its chunks' vectors.
    content_vector vector,
    content_model text,
    last_indexed timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint file_search_pkey primary key (tenant_id, id),
    constraint file_search_file_id_key unique (tenant_id, file_id),
    constraint file_search_tenant_id_fkey foreign key (tenant_id) references tenant_identity (tenant_id),
    constraint file_search_file_id_fkey foreign key (tenant_id, file_id) references files (tenant_id, id) on delete cascade,
    constraint file_search_state_check check (state in ('pending', 'indexed', 'skipped', 'failed')),
    constraint file_search_name_text_check check (octet_length(name_text) <= 4096),
    constraint file_search_metadata_text_check check (octet_length(metadata_text) <= 65536),
    constraint file_search_search_text_check check (octet_length(search_text) <= 4194304),
    constraint file_search_content_model_check check ((content_vector is null) = (content_model is null))
);
create index file_search_content_tokens_idx on file_search using gin (tenant_id, content_tokens);
create index file_search_metadata_tokens_idx on file_search using gin (tenant_id, metadata_tokens);
create index file_search_label_text_idx on file_search using gin (tenant_id, label_text gin_trgm_ops);
create index file_search_search_text_idx on file_search using gin (tenant_id, search_text gin_trgm_ops);
create index file_search_state_idx on file_search (tenant_id, state, id);
-- A file without text is found by its only passage, which is its label and has this very vector.
create index file_search_content_vector_idx on file_search using hnsw ((content_vector::vector(384)) vector_cosine_ops)
    where content_model = 'builtin-hash-384' and state = 'indexed';
create trigger file_search_set_updated_at before update on file_search for each row execute function set_updated_at();

-- Every word that any file of the tenant has had. Fuzzy search finds the similar ones here: comparing a query with whole
-- texts would take seconds. A word that is no longer in use costs nothing but its row.
create table search_vocabulary (
    tenant_id uuid not null default app_tenant_id(),
    word text not null,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint search_vocabulary_pkey primary key (tenant_id, word),
    constraint search_vocabulary_tenant_id_fkey foreign key (tenant_id) references tenant_identity (tenant_id)
);
create index search_vocabulary_word_idx on search_vocabulary using gin (tenant_id, word gin_trgm_ops);
create trigger search_vocabulary_set_updated_at before update on search_vocabulary for each row execute function set_updated_at();

create function file_search_learn_words() returns trigger
language plpgsql
set search_path from current
as $$
begin
    -- All of a statement's at once and in order, so that two with the same words wait for each other and never in a ring.
    if tg_op = 'INSERT' then
        insert into search_vocabulary (tenant_id, word)
        select distinct after.tenant_id, lexeme from after, unnest(after.content_tokens)
        where length(lexeme) between 3 and 40 and lexeme !~ '^[0-9]+$'
        order by 1, 2
        on conflict do nothing;
    else
        insert into search_vocabulary (tenant_id, word)
        select distinct after.tenant_id, lexeme
        from after join before on before.tenant_id = after.tenant_id and before.id = after.id, unnest(after.content_tokens)
        where after.content_tokens <> before.content_tokens
            and length(lexeme) between 3 and 40 and lexeme !~ '^[0-9]+$'
        order by 1, 2
        on conflict do nothing;
    end if;
    return null;
end
$$;
revoke all on function file_search_learn_words() from public;
create trigger file_search_learn_new_words after insert on file_search
    referencing new table as after for each statement execute function file_search_learn_words();
create trigger file_search_learn_words after update on file_search
    referencing old table as before new table as after for each statement execute function file_search_learn_words();

create table folder_search (
    tenant_id uuid not null default app_tenant_id(),
    id uuid not null default gen_random_uuid(),
    folder_id uuid not null,
    name_text text not null default '',
    metadata_text text not null default '',
    search_text text not null default '',
    label_text text not null generated always as (search_normalize(name_text || ' ' || metadata_text)) stored,
    content_tokens tsvector not null generated always as (search_content_tokens(name_text, metadata_text, search_text)) stored,
    metadata_tokens tsvector not null generated always as (search_metadata_tokens(name_text, metadata_text)) stored,
    content_vector vector,
    content_model text,
    last_indexed timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint folder_search_pkey primary key (tenant_id, id),
    constraint folder_search_folder_id_key unique (tenant_id, folder_id),
    constraint folder_search_tenant_id_fkey foreign key (tenant_id) references tenant_identity (tenant_id),
    constraint folder_search_folder_id_fkey foreign key (tenant_id, folder_id) references folders (tenant_id, id) on delete cascade,
    constraint folder_search_texts_check check (octet_length(name_text) <= 4096 and octet_length(metadata_text) <= 65536 and octet_length(search_text) <= 65536),
    constraint folder_search_content_model_check check ((content_vector is null) = (content_model is null))
);
create index folder_search_content_tokens_idx on folder_search using gin (tenant_id, content_tokens);
create index folder_search_metadata_tokens_idx on folder_search using gin (tenant_id, metadata_tokens);
create index folder_search_label_text_idx on folder_search using gin (tenant_id, label_text gin_trgm_ops);
create index folder_search_search_text_idx on folder_search using gin (tenant_id, search_text gin_trgm_ops);
create index folder_search_content_vector_idx on folder_search using hnsw ((content_vector::vector(384)) vector_cosine_ops)
    where content_model = 'builtin-hash-384';
create trigger folder_search_set_updated_at before update on folder_search for each row execute function set_updated_at();

create table workspace_search (
    tenant_id uuid not null default app_tenant_id(),
    id uuid not null default gen_random_uuid(),
    workspace_id uuid not null,
    name_text text not null default '',
    metadata_text text not null default '',
    search_text text not null default '',
    label_text text not null generated always as (search_normalize(name_text || ' ' || metadata_text)) stored,
    content_tokens tsvector not null generated always as (search_content_tokens(name_text, metadata_text, search_text)) stored,
    metadata_tokens tsvector not null generated always as (search_metadata_tokens(name_text, metadata_text)) stored,
    content_vector vector,
    content_model text,
    last_indexed timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint workspace_search_pkey primary key (tenant_id, id),
    constraint workspace_search_workspace_id_key unique (tenant_id, workspace_id),
    constraint workspace_search_tenant_id_fkey foreign key (tenant_id) references tenant_identity (tenant_id),
    constraint workspace_search_workspace_id_fkey foreign key (tenant_id, workspace_id) references workspaces (tenant_id, id) on delete cascade,
    constraint workspace_search_texts_check check (octet_length(name_text) <= 4096 and octet_length(metadata_text) <= 65536 and octet_length(search_text) <= 65536),
    constraint workspace_search_content_model_check check ((content_vector is null) = (content_model is null))
);
create index workspace_search_content_tokens_idx on workspace_search using gin (tenant_id, content_tokens);
create index workspace_search_metadata_tokens_idx on workspace_search using gin (tenant_id, metadata_tokens);
create index workspace_search_label_text_idx on workspace_search using gin (tenant_id, label_text gin_trgm_ops);
create index workspace_search_search_text_idx on workspace_search using gin (tenant_id, search_text gin_trgm_ops);
create index workspace_search_content_vector_idx on workspace_search using hnsw ((content_vector::vector(384)) vector_cosine_ops)
    where content_model = 'builtin-hash-384';
create trigger workspace_search_set_updated_at before update on workspace_search for each row execute function set_updated_at();

-- Passages of a file's text and their vectors, under each model that it was embedded with.
create table file_embeddings (
    tenant_id uuid not null default app_tenant_id(),
    id uuid not null default gen_random_uuid(),
    file_id uuid not null,
    model text not null,
    chunk_index integer not null,
    chunk_text text not null,
    -- For choosing the passage to show, among hundreds of one file.
    chunk_tokens tsvector not null generated always as (search_content_tokens('', '', chunk_text)) stored,
    -- No fixed dimension: each model has its own, and its own partial index.
    embedding_vector vector not null,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint file_embeddings_pkey primary key (tenant_id, id),
    constraint file_embeddings_file_id_model_chunk_index_key unique (tenant_id, file_id, model, chunk_index),
    constraint file_embeddings_tenant_id_fkey foreign key (tenant_id) references tenant_identity (tenant_id),
    constraint file_embeddings_file_id_fkey foreign key (tenant_id, file_id) references files (tenant_id, id) on delete cascade,
    constraint file_embeddings_model_check check (model ~ '^[a-z0-9][a-z0-9._-]{0,62}$'),
    constraint file_embeddings_chunk_index_check check (chunk_index >= 0),
    constraint file_embeddings_chunk_text_check check (octet_length(chunk_text) <= 65536),
    constraint file_embeddings_builtin_check check (model <> 'builtin-hash-384' or vector_dims(embedding_vector) = 384)
);
create index file_embeddings_builtin_hash_384_idx on file_embeddings using hnsw ((embedding_vector::vector(384)) vector_cosine_ops)
    where model = 'builtin-hash-384';
create trigger file_embeddings_set_updated_at before update on file_embeddings for each row execute function set_updated_at();

alter table file_search enable row level security;
create policy tenant_isolation on file_search to tenant_app using (tenant_id = app_tenant_id()) with check (tenant_id = app_tenant_id());
alter table search_vocabulary enable row level security;
create policy tenant_isolation on search_vocabulary to tenant_app using (tenant_id = app_tenant_id()) with check (tenant_id = app_tenant_id());
alter table folder_search enable row level security;
create policy tenant_isolation on folder_search to tenant_app using (tenant_id = app_tenant_id()) with check (tenant_id = app_tenant_id());
alter table workspace_search enable row level security;
create policy tenant_isolation on workspace_search to tenant_app using (tenant_id = app_tenant_id()) with check (tenant_id = app_tenant_id());
alter table file_embeddings enable row level security;
create policy tenant_isolation on file_embeddings to tenant_app using (tenant_id = app_tenant_id()) with check (tenant_id = app_tenant_id());
grant select, insert, update, delete on file_search, search_vocabulary, folder_search, workspace_search, file_embeddings to tenant_app;
