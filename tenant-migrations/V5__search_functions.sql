-- Why: under row-level security `@@`, `%` and `<=>` keep off their indexes. These functions run as the owner, whom the policies
-- do not bind, and filter on `app_tenant_id()` themselves. The `search_items_…` ones are for tenants; the others serve them.
-- Locks: none.

-- The query, in the words of `content_tokens`. Also with `report.pdf` taken apart, as names are.
create function search_content_query(q text) returns tsquery
language plpgsql immutable parallel safe
set search_path from current
as $$
declare
    words constant text := search_normalize(left(q, 1000));
    parts constant text := regexp_replace(words, '(?<=[[:alnum:]])[^[:alnum:]"[:space:]]+(?=[[:alnum:]])', ' ', 'g');
begin
    if parts = words then
        return websearch_to_tsquery('english', words);
    end if;
    return websearch_to_tsquery('english', words) || websearch_to_tsquery('english', parts);
end
$$;

-- The query, in the words of `metadata_tokens`.
create function search_metadata_query(q text) returns tsquery
language plpgsql immutable parallel safe
set search_path from current
as $$
begin
    return websearch_to_tsquery('simple',
        regexp_replace(search_normalize(left(q, 1000)), '(?<=[[:alnum:]])[^[:alnum:]"[:space:]]+(?=[[:alnum:]])', ' ', 'g'));
end
$$;

-- Full text. Ranking is what costs, so of more than 500 matches a kind, 500 are ranked.
create function search_rank_text(tenant uuid, q text, kinds text[], workspace uuid, lim integer)
returns table (kind text, id uuid, score double precision, chunk_index integer)
language plpgsql stable
set search_path from current
set plan_cache_mode = force_custom_plan
as $$
#variable_conflict use_column
declare
    content_query constant tsquery := search_content_query(q);
    metadata_query constant tsquery := search_metadata_query(q);
begin
    if 'file' = any(kinds) then
        return query
        with candidates as materialized (
            select s.file_id, s.content_tokens, s.metadata_tokens
            from file_search s
            join files f on f.tenant_id = s.tenant_id and f.id = s.file_id
            join workspaces w on w.tenant_id = f.tenant_id and w.id = f.workspace_id
            where s.tenant_id = tenant and (s.content_tokens @@ content_query or s.metadata_tokens @@ metadata_query)
                and f.deleted_at is null and w.deleted_at is null and (workspace is null or f.workspace_id = workspace)
                and ((select app_nothing_is_covered()) or not app_is_covered(f.workspace_id, f.folder_id))
            limit 500
        )
        select 'file', c.file_id,
            (ts_rank(c.content_tokens, content_query, 1) + ts_rank(c.metadata_tokens, metadata_query))::double precision, null::integer
        from candidates c order by 3 desc, 2 limit lim;
    end if;
    if 'folder' = any(kinds) then
        return query
        with candidates as materialized (
            select s.folder_id, s.content_tokens, s.metadata_tokens
            from folder_search s
            join folders f on f.tenant_id = s.tenant_id and f.id = s.folder_id
            join workspaces w on w.tenant_id = f.tenant_id and w.id = f.workspace_id
            where s.tenant_id = tenant and (s.content_tokens @@ content_query or s.metadata_tokens @@ metadata_query)
                and f.deleted_at is null and w.deleted_at is null and (workspace is null or f.workspace_id = workspace)
                and ((select app_nothing_is_covered()) or not app_is_covered(f.workspace_id, f.parent_id, f.id))
            limit 500
        )
        select 'folder', c.folder_id,
            (ts_rank(c.content_tokens, content_query, 1) + ts_rank(c.metadata_tokens, metadata_query))::double precision, null::integer
        from candidates c order by 3 desc, 2 limit lim;
    end if;
    if 'workspace' = any(kinds) then
        return query
        with candidates as materialized (
            select s.workspace_id, s.content_tokens, s.metadata_tokens
            from workspace_search s
            join workspaces w on w.tenant_id = s.tenant_id and w.id = s.workspace_id
            where s.tenant_id = tenant and (s.content_tokens @@ content_query or s.metadata_tokens @@ metadata_query)
                and w.deleted_at is null and (workspace is null or w.id = workspace)
                and ((select app_nothing_is_covered()) or not app_is_covered(w.workspace_path))
            limit 500
        )
        select 'workspace', c.workspace_id,
            (ts_rank(c.content_tokens, content_query, 1) + ts_rank(c.metadata_tokens, metadata_query))::double precision, null::integer
        from candidates c order by 3 desc, 2 limit lim;
    end if;
end
$$;

-- For each word of the query the tenant's own words that are spelt like it: a query in the words of `content_tokens`, and
-- how alike they are on average. NULL where a word has nothing like it.
create function search_similar_words(tenant uuid, q text, out query tsquery, out likeness real)
language plpgsql volatile
set search_path from current
set plan_cache_mode = force_custom_plan
as $$
declare
    asked text;
    alike tsquery;
    best real;
    words integer := 0;
begin
    -- Not as a SET clause: only a superuser may write one for an extension that the session has not loaded yet.
    perform set_config('pg_trgm.similarity_threshold', '0.25', true);
    likeness := 0;
    for asked in
        select lexeme from unnest(to_tsvector('english', search_words(left(q, 200)))) where length(lexeme) >= 3 order by lexeme limit 8
    loop
        -- A lexeme from the table is quoted, so that nothing in it is read as an operator.
        select string_agg('''' || replace(replace(word, '\', '\\'), '''', '''''') || '''', '|')::tsquery, max(closeness) into alike, best
        from (
            -- Two letters swapped in a short word leave little in common; where a word is spelt right, such are noise.
            select word, closeness, max(closeness) over () as closest from (
                select word, similarity(word, asked) as closeness from search_vocabulary
                where tenant_id = tenant and word % asked order by closeness desc, word limit 8
            ) nearest
        ) similar_words where closeness >= 0.7 * closest;
        if alike is null then
            query := null;
            return;
        end if;
        query := case when query is null then alike else query && alike end;
        likeness := likeness + best;
        words := words + 1;
    end loop;
    if words > 0 then
        likeness := likeness / words;
    end if;
end
$$;

-- Names and metadata by trigrams, content by words spelt alike, and what contains the query as it stands.
create function search_rank_fuzzy(tenant uuid, q text, kinds text[], workspace uuid, lim integer)
returns table (kind text, id uuid, score double precision, chunk_index integer)
language plpgsql volatile
set search_path from current
set plan_cache_mode = force_custom_plan
as $$
#variable_conflict use_column
declare
    wanted constant text := search_normalize(left(btrim(q), 200));
    -- Without three letters or digits in a row there is no trigram to look up, and every text would be read.
    contained constant text := case when left(btrim(q), 200) ~ '[[:alnum:]]{3}'
        then '%' || regexp_replace(left(btrim(q), 200), '([\\%_])', '\\\1', 'g') || '%' end;
    alike tsquery;
    likeness real;
begin
    perform set_config('pg_trgm.word_similarity_threshold', '0.4', true);
    if 'file' = any(kinds) then
        select s.query, s.likeness into alike, likeness from search_similar_words(tenant, q) s;
        return query
        with matches as materialized (
            (select s.file_id, word_similarity(wanted, s.label_text)::double precision as score
            from file_search s where s.tenant_id = tenant and s.label_text %> wanted limit 500)
            union all
            (select s.file_id, 0.8 from file_search s where s.tenant_id = tenant and s.search_text ilike contained limit 500)
            union all
            (select c.file_id, likeness * (0.5 + 0.4 * ts_rank(c.content_tokens, alike, 32)) from (
                select s.file_id, s.content_tokens from file_search s where s.tenant_id = tenant and s.content_tokens @@ alike limit 500
            ) c)
        )
        select 'file', m.file_id, max(m.score), null::integer
        from matches m
        join files f on f.tenant_id = tenant and f.id = m.file_id
        join workspaces w on w.tenant_id = f.tenant_id and w.id = f.workspace_id
        where f.deleted_at is null and w.deleted_at is null and (workspace is null or f.workspace_id = workspace)
            and ((select app_nothing_is_covered()) or not app_is_covered(f.workspace_id, f.folder_id))
        group by m.file_id order by 3 desc, 2 limit lim;
    end if;
    if 'folder' = any(kinds) then
        return query
        with matches as materialized (
            (select s.folder_id, word_similarity(wanted, s.label_text)::double precision as score
            from folder_search s where s.tenant_id = tenant and s.label_text %> wanted limit 500)
            union all
            (select s.folder_id, 0.8 from folder_search s where s.tenant_id = tenant and s.search_text ilike contained limit 500)
        )
        select 'folder', m.folder_id, max(m.score), null::integer
        from matches m
        join folders f on f.tenant_id = tenant and f.id = m.folder_id
        join workspaces w on w.tenant_id = f.tenant_id and w.id = f.workspace_id
        where f.deleted_at is null and w.deleted_at is null and (workspace is null or f.workspace_id = workspace)
            and ((select app_nothing_is_covered()) or not app_is_covered(f.workspace_id, f.parent_id, f.id))
        group by m.folder_id order by 3 desc, 2 limit lim;
    end if;
    if 'workspace' = any(kinds) then
        return query
        with matches as materialized (
            (select s.workspace_id, word_similarity(wanted, s.label_text)::double precision as score
            from workspace_search s where s.tenant_id = tenant and s.label_text %> wanted limit 500)
            union all
            (select s.workspace_id, 0.8 from workspace_search s where s.tenant_id = tenant and s.search_text ilike contained limit 500)
        )
        select 'workspace', m.workspace_id, max(m.score), null::integer
        from matches m
        join workspaces w on w.tenant_id = tenant and w.id = m.workspace_id
        where w.deleted_at is null and (workspace is null or w.id = workspace)
            and ((select app_nothing_is_covered()) or not app_is_covered(w.workspace_path))
        group by m.workspace_id order by 3 desc, 2 limit lim;
    end if;
end
$$;

-- Nearest by cosine distance. Something always is: what has next to nothing in common with the query (a distance over 0.9) is
-- no hit. A tenant with few vectors is searched exactly, and so is every one in tables that tenants share: an index over all
-- of them comes back with too little for each. That costs reading all of the tenant's vectors, a millisecond for some hundred.
-- The rest goes through the model's HNSW index, which only a statement planned for these very values can use: hence EXECUTE
-- with literals.
create function search_rank_semantic(tenant uuid, query vector, kinds text[], workspace uuid, lim integer, model text)
returns table (kind text, id uuid, score double precision, chunk_index integer)
language plpgsql volatile
set search_path from current
as $$
#variable_conflict use_column
declare
    dimensions constant integer := vector_dims(query);
    source record;
    is_shared boolean;
    found_few boolean;
    live text;
begin
    if query is null or vector_norm(query) = 0 then
        return;
    end if;
    select isolation = 'shared' into is_shared from tenant_identity where tenant_id = tenant;
    perform set_config('hnsw.iterative_scan', 'relaxed_order', true), set_config('hnsw.ef_search', greatest(100, least(1000, lim * 4))::text, true);
    for source in
        select * from (values
            ('file', 'file_embeddings', 'files', 'file_id', 'embedding_vector', 'model', 'v.chunk_index', 'i.workspace_id'),
            ('folder', 'folder_search', 'folders', 'folder_id', 'content_vector', 'content_model', 'null::integer', 'i.workspace_id'),
            ('workspace', 'workspace_search', 'workspaces', 'workspace_id', 'content_vector', 'content_model', 'null::integer', 'i.id')
        ) s (kind, vectors, items, item_id, vector, model, chunk, workspace) where s.kind = any(kinds)
    loop
        if is_shared then
            found_few := true;
        else
            execute format('select count(*) < 2000 from (select from %I where tenant_id = %L limit 2000) counted', source.vectors, tenant)
                into found_few;
        end if;
        live := 'i.deleted_at is null';
        if workspace is not null then
            live := format('%s and %s = %L', live, source.workspace, workspace);
        end if;
        if source.kind <> 'workspace' then
            live := live || ' and exists (select from workspaces w where w.tenant_id = i.tenant_id and w.id = i.workspace_id and w.deleted_at is null)';
        end if;
        if not app_nothing_is_covered() then
            live := live || case source.kind when 'file' then ' and not app_is_covered(i.workspace_id, i.folder_id)'
                when 'folder' then ' and not app_is_covered(i.workspace_id, i.parent_id, i.id)'
                else ' and not app_is_covered(i.workspace_path)' end;
        end if;
        if found_few then
            return query execute format($exact$
                with near as materialized (
                    select v.%1$I as item, %2$s as chunk, v.%3$I <=> %4$L::vector as distance
                    from %5$I v join %6$I i on i.tenant_id = v.tenant_id and i.id = v.%1$I
                    where v.tenant_id = %7$L and v.%8$I = %9$L and vector_dims(v.%3$I) = %10$s and %11$s
                ), best as (select distinct on (item) item, chunk, distance from near order by item, distance, chunk)
                select %12$L, item, 1 - distance, chunk from best where distance <= 0.9 order by distance, item limit %13$s
            $exact$, source.item_id, source.chunk, source.vector, query, source.vectors, source.items, tenant, source.model, model,
                dimensions, live, source.kind, lim);
        else
            -- Many chunks of one file may lie close together, so more are fetched than items are wanted.
            return query execute format($nearest$
                with near as materialized (
                    select v.%1$I as item, %2$s as chunk, v.%3$I::vector(%10$s) <=> %4$L::vector(%10$s) as distance
                    from %5$I v join %6$I i on i.tenant_id = v.tenant_id and i.id = v.%1$I
                    where v.tenant_id = %7$L and v.%8$I = %9$L and %11$s
                    order by v.%3$I::vector(%10$s) <=> %4$L::vector(%10$s) limit %14$s
                ), best as (select distinct on (item) item, chunk, distance from near order by item, distance, chunk)
                select %12$L, item, 1 - distance, chunk from best where distance <= 0.9 order by distance, item limit %13$s
            $nearest$, source.item_id, source.chunk, source.vector, query, source.vectors, source.items, tenant, source.model, model,
                dimensions, live, source.kind, lim, lim * 4);
        end if;
    end loop;
end
$$;

-- The passage to show of a hit: the chunk that semantic search found, else the one that fits the query best.
create function search_snippet(tenant uuid, kind text, item uuid, chunk integer, query tsquery) returns text
language plpgsql stable
set search_path from current
as $$
declare
    passage text;
    -- For choosing, any of the words will do; no single passage may have them all.
    any_word constant tsquery := replace(query::text, '&', '|')::tsquery;
begin
    if kind = 'file' then
        select chunk_text into passage from file_embeddings e where e.tenant_id = tenant and e.file_id = item
        order by (e.chunk_index = chunk) desc nulls last, ts_rank(e.chunk_tokens, any_word) desc, e.chunk_index, e.model limit 1;
        if passage is null then
            select left(search_text, 2000) into passage from file_search where tenant_id = tenant and file_id = item;
        end if;
    elsif kind = 'folder' then
        select left(search_text, 2000) into passage from folder_search where tenant_id = tenant and folder_id = item;
    else
        select left(search_text, 2000) into passage from workspace_search where tenant_id = tenant and workspace_id = item;
    end if;
    return ts_headline('english', coalesce(left(passage, 4000), ''), any_word,
        'StartSel=**, StopSel=**, MaxFragments=1, MaxWords=40, MinWords=15, FragmentDelimiter=" … "');
end
$$;

-- Names and passages for ranked hits, in their order.
create function search_present(tenant uuid, q text, hit_kinds text[], hit_ids uuid[], hit_scores double precision[], hit_chunks integer[])
returns table (kind text, id uuid, name text, workspace_id uuid, folder_id uuid, score double precision, snippet text)
language plpgsql stable
set search_path from current
as $$
#variable_conflict use_column
declare
    query constant tsquery := search_content_query(q);
begin
    return query
    select h.kind, h.id, coalesce(f.name, d.name, w.name), coalesce(f.workspace_id, d.workspace_id, w.id),
        coalesce(f.folder_id, d.parent_id), h.score, search_snippet(tenant, h.kind, h.id, h.chunk, query)
    from unnest(hit_kinds, hit_ids, hit_scores, hit_chunks) with ordinality h (kind, id, score, chunk, place)
    left join files f on h.kind = 'file' and f.tenant_id = tenant and f.id = h.id
    left join folders d on h.kind = 'folder' and d.tenant_id = tenant and d.id = h.id
    left join workspaces w on h.kind = 'workspace' and w.tenant_id = tenant and w.id = h.id
    order by h.place;
end
$$;

-- The four ways to search. PostgreSQL's notices about a query without words would be of no use to anyone.
-- `kinds` holds any of file, folder, workspace (NULL: all); `workspace` narrows to one (NULL: all);
-- at most 200 hits, best first, equals by id. Only what is not deleted is found.
create function search_items_text(q text, kinds text[], workspace uuid, lim integer)
returns table (kind text, id uuid, name text, workspace_id uuid, folder_id uuid, score double precision, snippet text)
language sql volatile security definer
set search_path from current
set client_min_messages = warning
as $$
    select p.* from (
        select array_agg(r.kind order by r.score desc, r.id) as kinds, array_agg(r.id order by r.score desc, r.id) as ids,
            array_agg(r.score order by r.score desc, r.id) as scores, array_agg(r.chunk_index order by r.score desc, r.id) as chunks
        from (
            select * from search_rank_text(app_tenant_id(), q, coalesce(kinds, array['file', 'folder', 'workspace']), workspace,
                greatest(1, least(lim, 200)))
            order by score desc, id limit greatest(1, least(lim, 200))
        ) r
    ) hits cross join lateral search_present(app_tenant_id(), q, hits.kinds, hits.ids, hits.scores, hits.chunks) p
$$;

create function search_items_fuzzy(q text, kinds text[], workspace uuid, lim integer)
returns table (kind text, id uuid, name text, workspace_id uuid, folder_id uuid, score double precision, snippet text)
language sql volatile security definer
set search_path from current
set client_min_messages = warning
as $$
    select p.* from (
        select array_agg(r.kind order by r.score desc, r.id) as kinds, array_agg(r.id order by r.score desc, r.id) as ids,
            array_agg(r.score order by r.score desc, r.id) as scores, array_agg(r.chunk_index order by r.score desc, r.id) as chunks
        from (
            select * from search_rank_fuzzy(app_tenant_id(), q, coalesce(kinds, array['file', 'folder', 'workspace']), workspace,
                greatest(1, least(lim, 200)))
            order by score desc, id limit greatest(1, least(lim, 200))
        ) r
    ) hits cross join lateral search_present(app_tenant_id(),
        coalesce(replace((select s.query::text from search_similar_words(app_tenant_id(), q) s), '''', ' '), q),
        hits.kinds, hits.ids, hits.scores, hits.chunks) p
$$;

create function search_items_semantic(q text, query vector, kinds text[], workspace uuid, lim integer, model text default 'builtin-hash-384')
returns table (kind text, id uuid, name text, workspace_id uuid, folder_id uuid, score double precision, snippet text)
language sql volatile security definer
set search_path from current
set client_min_messages = warning
as $$
    select p.* from (
        select array_agg(r.kind order by r.score desc, r.id) as kinds, array_agg(r.id order by r.score desc, r.id) as ids,
            array_agg(r.score order by r.score desc, r.id) as scores, array_agg(r.chunk_index order by r.score desc, r.id) as chunks
        from (
            select * from search_rank_semantic(app_tenant_id(), query, coalesce(kinds, array['file', 'folder', 'workspace']), workspace,
                greatest(1, least(lim, 200)), model)
            order by score desc, id limit greatest(1, least(lim, 200))
        ) r
    ) hits cross join lateral search_present(app_tenant_id(), q, hits.kinds, hits.ids, hits.scores, hits.chunks) p
$$;

-- Reciprocal rank fusion (k = 60) of text and semantic, each to a depth of at least 100.
create function search_items_hybrid(q text, query vector, kinds text[], workspace uuid, lim integer, model text default 'builtin-hash-384')
returns table (kind text, id uuid, name text, workspace_id uuid, folder_id uuid, score double precision, snippet text)
language sql volatile security definer
set search_path from current
set client_min_messages = warning
as $$
    with lexical as (
        select r.kind, r.id, row_number() over (order by r.score desc, r.id) as place
        from search_rank_text(app_tenant_id(), q, coalesce(kinds, array['file', 'folder', 'workspace']), workspace, greatest(100, least(lim, 200))) r
    ), semantic as (
        select r.kind, r.id, r.chunk_index, row_number() over (order by r.score desc, r.id) as place
        from search_rank_semantic(app_tenant_id(), query, coalesce(kinds, array['file', 'folder', 'workspace']), workspace,
            greatest(100, least(lim, 200)), model) r
    ), fused as (
        select coalesce(l.kind, s.kind) as kind, coalesce(l.id, s.id) as id,
            -- Where the words themselves were found, the passage is chosen by them.
            case when l.id is null then s.chunk_index end as chunk_index,
            (coalesce(1.0 / (60 + l.place), 0) + coalesce(1.0 / (60 + s.place), 0))::double precision as score
        from lexical l full join semantic s on s.kind = l.kind and s.id = l.id
        order by score desc, id limit greatest(1, least(lim, 200))
    ), hits as (
        select array_agg(f.kind order by f.score desc, f.id) as kinds, array_agg(f.id order by f.score desc, f.id) as ids,
            array_agg(f.score order by f.score desc, f.id) as scores, array_agg(f.chunk_index order by f.score desc, f.id) as chunks
        from fused f
    )
    select p.* from hits cross join lateral search_present(app_tenant_id(), q, hits.kinds, hits.ids, hits.scores, hits.chunks) p
$$;

revoke all on function search_content_query(text), search_metadata_query(text), search_rank_text(uuid, text, text[], uuid, integer),
    search_similar_words(uuid, text), search_rank_fuzzy(uuid, text, text[], uuid, integer),
    search_rank_semantic(uuid, vector, text[], uuid, integer, text), search_snippet(uuid, text, uuid, integer, tsquery),
    search_present(uuid, text, text[], uuid[], double precision[], integer[]),
    search_items_text(text, text[], uuid, integer), search_items_fuzzy(text, text[], uuid, integer),
    search_items_semantic(text, vector, text[], uuid, integer, text), search_items_hybrid(text, vector, text[], uuid, integer, text)
    from public;
grant execute on function search_items_text(text, text[], uuid, integer), search_items_fuzzy(text, text[], uuid, integer),
    search_items_semantic(text, vector, text[], uuid, integer, text), search_items_hybrid(text, vector, text[], uuid, integer, text)
    to tenant_app;
