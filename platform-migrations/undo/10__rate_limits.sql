-- Undoes V10: every limit is the tier's again.
drop trigger tenant_api_keys_auth_notice_of_rate_limit on tenant_api_keys;
drop trigger tenants_auth_notice_of_rate_limit on tenants;
alter table tenant_api_keys drop constraint tenant_api_keys_rate_limit_check, drop column rate_burst, drop column rate_per_second;
alter table tenants drop constraint tenants_rate_limit_check, drop column rate_burst, drop column rate_per_second;
