-- Undoes V6: the audit log goes with all that it holds. Partitions of the usage logs stay and are theirs.
drop function audit_refused_key(text, text, text, uuid, uuid, uuid, inet, text, text, text, text);
drop function ensure_log_partitions(integer, timestamptz);
drop table audit_logs;
drop function audit_logs_refuse_change();
drop type audit_outcome;
