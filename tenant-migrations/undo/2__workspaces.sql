-- Undoes V2: folders and workspaces.
drop table folders, workspaces;
drop function folders_check_place();
drop function workspaces_move_children();
drop function workspaces_set_path();
