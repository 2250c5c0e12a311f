-- Undoes V8: deleting and restoring trees. What is under way stays under its cover.
drop function workspace_list(text, text, uuid, boolean, uuid, bigint), workspace_restore(uuid, uuid), folder_restore(uuid, uuid),
    tree_begin(text, uuid, text, uuid, integer), tree_step(uuid, uuid, integer), tree_restore_step(covers, integer),
    tree_delete_step(covers, integer), tree_end(covers, bigint), tree_list(covers), tree_has(uuid, text, uuid, covers),
    tree_count_live(uuid, text, uuid, bigint), tree_live_folders(uuid, text, uuid, bigint);
