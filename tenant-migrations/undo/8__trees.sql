-- Undoes V8: deleting, restoring, copying and purging trees. What is under way stays under its cover.
drop function tree_purge_step(uuid, uuid, integer, integer), tree_purge_lock(uuid, uuid), tree_purge_begin(text, uuid, uuid),
    tree_discard_step(uuid, uuid, integer), tree_cancel(uuid), tree_discard(uuid, uuid, text), tree_copy_step(uuid, uuid, integer, bigint, text, uuid, uuid),
    tree_copy_lock(uuid, uuid), tree_copy_need(uuid, uuid, integer), tree_copy_next(covers, integer),
    tree_copy_begin(uuid, uuid, uuid, integer), tree_measure(uuid), tree_id(), tree_end(covers, bigint),
    tree_restore_step(covers, integer), tree_delete_step(covers, integer), tree_list(covers, integer),
    tree_place_folders(uuid, uuid, uuid, boolean, uuid, bigint), tree_place_count(uuid, uuid, uuid, boolean),
    tree_place_files(uuid, uuid, uuid, boolean, uuid, bigint), workspace_list(text, text, uuid, boolean, uuid, bigint),
    workspace_restore(uuid, uuid), folder_restore(uuid, uuid), tree_step(uuid, uuid, integer), tree_begin(text, uuid, text, uuid, integer),
    tree_revive(interval), tree_try_again(uuid), tree_claim(uuid, uuid, text[]), tree_check_restore(text, uuid),
    tree_check(text, uuid, boolean, boolean), tree_has(uuid, text, uuid, text, uuid), tree_count_live(uuid, text, uuid, bigint),
    tree_live_folders(uuid, text, uuid, bigint);
