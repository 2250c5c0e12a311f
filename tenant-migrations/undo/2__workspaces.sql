-- Undoes V2: folders and workspaces.
drop policy not_covered on folders;
drop policy not_covered on workspaces;
drop function app_is_covered(uuid, uuid, uuid), app_is_covered(text), app_nothing_is_covered();
drop table cover_places, covers, folders;
drop function workspace_charge(uuid, bigint, text), workspace_lock(uuid[]);
drop table workspace_counters, workspaces;
drop function folders_check_place();
drop function workspaces_move_children();
drop function workspaces_set_path();
