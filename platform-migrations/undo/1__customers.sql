-- Undoes V1: the customers, their tenants and the clusters. The databases of tenants are not touched.
drop table tenants, group_databases, organizations, tier_limits, clusters;
drop function organizations_tier_defaults();
drop function set_updated_at();
drop type tenant_isolation, tenant_status, tenant_type, cluster_tls_mode, cluster_status, actor_kind, subscription_status, subscription_tier;
