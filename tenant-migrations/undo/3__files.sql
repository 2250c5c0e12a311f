-- Undoes V3: files, versions, blobs, content keys and intents. The objects they name stay in the object store.
alter table files drop constraint files_current_version_fkey;
drop function folders_size(uuid[]);
drop function files_page(uuid, uuid, boolean, boolean, text, jsonb, text, boolean, text, uuid, bigint);
drop table quota_blocks, upload_intents, file_versions, files, blobs, content_keys;
