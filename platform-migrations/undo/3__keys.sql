-- Undoes V3: every API key is gone with its table.
drop function key_touch(uuid);
drop table tenant_api_keys, org_api_keys, platform_api_keys;
drop type key_environment;
