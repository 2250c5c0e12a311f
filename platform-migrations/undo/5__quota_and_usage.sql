-- Undoes V5: reservations and usage logs. Used and reserved bytes stay in the rows that hold them.
drop function usage_buckets(uuid, timestamptz, timestamptz, text);
drop function usage_record(uuid, uuid, timestamptz, text, bigint, text, jsonb, uuid, uuid);
drop function usage_record_all(uuid, uuid[], timestamptz[], text[], bigint[], text[], jsonb[], uuid[], uuid[]);
drop function workspace_count(uuid, uuid, bigint);
drop function quota_expire(integer);
drop function quota_release(uuid);
drop function quota_give_back(uuid, bigint);
drop function quota_hand_over(uuid[], uuid, uuid);
drop function quota_lease(uuid, uuid, bigint, bigint, interval, uuid);
drop function quota_settle(uuid, uuid, uuid, uuid, bigint);
drop function quota_committing(uuid);
drop function quota_commit(uuid, uuid, bigint);
drop function quota_reserve(uuid, uuid, bigint, interval, uuid, integer);
drop function work_list(integer);
drop function work_clear(uuid, bigint, timestamptz, interval);
drop function work_mark(uuid, timestamptz);
drop table tenant_usage_logs, org_usage_logs, account_shares, quota_reservations;
