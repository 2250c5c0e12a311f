-- Undoes V2: persons, memberships and storage accounts.
drop table accounts, user_tenant_associations, org_members, users;
drop type member_status, tenant_role, member_role, user_type;
