-- Undoes V9: nobody hears of changes any more. A data plane that listens falls back to asking at every request.
drop trigger group_databases_auth_notice on group_databases;
drop trigger clusters_auth_notice on clusters;
drop trigger organizations_auth_notice on organizations;
drop trigger tenants_auth_notice_of_version on tenants;
drop trigger tenants_auth_notice on tenants;
drop trigger tenant_api_keys_auth_notice_of_delete on tenant_api_keys;
drop trigger tenant_api_keys_auth_notice on tenant_api_keys;
drop function auth_notice();
drop table auth_sequence;
