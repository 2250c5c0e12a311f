-- Undoes V1: the identity and the pin. Extensions belong to the database, not to this set, and stay.
drop table tenant_identity;
drop function set_updated_at();
drop function app_tenant_id();
