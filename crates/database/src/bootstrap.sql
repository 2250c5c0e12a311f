-- What a superuser does once to a PostgreSQL cluster (15 or later) before Rowhouse may use it. Every section can run again.
--
-- A line `-- rowhouse: section NAME database=DB` starts a section: one simple query on a connection to that database, in
-- this order. `creates=DB` marks a section to skip where that database exists (CREATE DATABASE knows no IF NOT EXISTS and
-- no transaction). Sections named `platform_…` are for the cluster that holds `saas_platform`; others do without them.
-- `{{control_password}}` and `{{data_password}}` stand for quoted literals: a SCRAM verifier keeps the password out of logs.

-- rowhouse: section roles database=postgres
do $$
begin
    if not exists (select from pg_roles where rolname = 'rowhouse_owner') then
        create role rowhouse_owner;
    end if;
    if not exists (select from pg_roles where rolname = 'rowhouse_control') then
        create role rowhouse_control;
    end if;
    if not exists (select from pg_roles where rolname = 'rowhouse_data') then
        create role rowhouse_data;
    end if;
    if not exists (select from pg_roles where rolname = 'tenant_app') then
        create role tenant_app;
    end if;
end
$$;
-- Owns every database and table, so row-level security does not bind it: nobody may log in as it or inherit it.
alter role rowhouse_owner nologin nosuperuser createdb nocreaterole noreplication nobypassrls;
-- NOINHERIT: it acts as the owner only where it says SET ROLE. From PostgreSQL 16 on, this attribute is also what decides
-- at GRANT time whether the memberships below inherit, so it must be set before them.
alter role rowhouse_control login noinherit nosuperuser nocreatedb createrole noreplication nobypassrls password {{control_password}};
alter role rowhouse_data login noinherit nosuperuser nocreatedb nocreaterole noreplication nobypassrls password {{data_password}};
alter role tenant_app nologin nosuperuser nocreatedb nocreaterole noreplication nobypassrls;
grant rowhouse_owner to rowhouse_control;
-- The admin option lets it put each new tenant login into tenant_app (PostgreSQL 15 would allow that by CREATEROLE alone).
grant tenant_app to rowhouse_control with admin option;
-- Used by `set role`, as NOINHERIT asks: ending the sessions of a suspended tenant, watching all of them.
grant pg_signal_backend, pg_read_all_stats to rowhouse_control;
-- A tenant's pin and its limit on temporary files are settings of its login.
grant set on parameter app.tenant_id, temp_file_limit to rowhouse_control;

-- rowhouse: section close_defaults database=postgres
revoke all on database postgres, template1 from public;
-- Where a cluster has no `saas_platform`, databases are made from a connection to this one.
grant connect on database postgres to rowhouse_control;

-- rowhouse: section create_base database=postgres creates=rowhouse_base
create database rowhouse_base owner rowhouse_owner template template0 encoding 'UTF8' lc_collate 'C' lc_ctype 'C.UTF-8';

-- rowhouse: section open_base database=postgres
alter database rowhouse_base is_template true allow_connections true;
revoke all on database rowhouse_base from public;

-- rowhouse: section base database=rowhouse_base
-- Everything in here is copied into every tenant database; the rights on the database itself are not.
create schema if not exists extensions;
alter schema extensions owner to rowhouse_owner;
create extension if not exists vector schema extensions;
create extension if not exists pg_trgm schema extensions;
create extension if not exists btree_gin schema extensions;
create extension if not exists unaccent schema extensions;
revoke all on schema extensions from public;
grant usage on schema extensions to tenant_app;
-- Nothing grants USAGE on a tenant's schema to a group: it goes to the one login, at provisioning.
alter schema public owner to rowhouse_owner;
revoke all on schema public from public;
-- What the owner makes later is closed too, before its own REVOKE says so.
alter default privileges for role rowhouse_owner revoke execute on functions from public;

-- rowhouse: section close_base database=postgres
alter database rowhouse_base allow_connections false;

-- rowhouse: section platform_create database=postgres creates=saas_platform
create database saas_platform owner rowhouse_owner template template0 encoding 'UTF8' lc_collate 'C' lc_ctype 'C.UTF-8';

-- rowhouse: section platform_access database=postgres
revoke all on database saas_platform from public;
grant connect on database saas_platform to rowhouse_control, rowhouse_data;

-- rowhouse: section platform_schema database=saas_platform
alter schema public owner to rowhouse_owner;
revoke all on schema public from public;
grant usage on schema public to rowhouse_control, rowhouse_data;
alter default privileges for role rowhouse_owner revoke execute on functions from public;
