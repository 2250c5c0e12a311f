select oid, relname, relkind, relpersistence, relrowsecurity, relforcerowsecurity, relowner, relam, relreplident, reloptions,
    relispartition, reltype, relacl
from pg_class where relnamespace = {namespace};
select oid, typnamespace, typname, typtype, typrelid, typarray, typowner, typacl, typbasetype, typtypmod, typnotnull, typdefault
from pg_type where oid > 16383 and typnamespace in ({namespace}, to_regnamespace('extensions'));
select oid, amname, '' as more from pg_am where oid > 16383
union all select oid, opcname, opcdefault::text from pg_opclass where oid > 16383
union all select oid, dictname, '' from pg_ts_dict where oid > 16383
union all select oid, proname, proargtypes::text from pg_proc where oid > 16383 and pronamespace = to_regnamespace('extensions');
select oid, proname, proowner, prolang, procost, prorows, prokind, prosecdef, proleakproof, proisstrict, proretset, provolatile,
    proparallel, prorettype, proargtypes, proallargtypes, proargmodes, proargnames, proargdefaults, provariadic, protrftypes, prosrc,
    prosqlbody, proconfig, proacl
from pg_proc where oid > 16383 and pronamespace = {namespace};
select attrelid, attnum, attname, atttypid, atttypmod, attcollation, attnotnull, attidentity, attgenerated, attacl, attoptions
from pg_attribute where attrelid {own} and attnum > 0 and not attisdropped;
select adrelid, adnum, adbin from pg_attrdef where adrelid {own};
select * from pg_constraint where connamespace = {namespace};
select * from pg_index where indrelid {own};
select * from pg_policy where polrelid {own};
select * from pg_trigger where tgrelid {own} and not tgisinternal;
select * from pg_rewrite where ev_class {own};
select * from pg_statistic_ext where stxnamespace = {namespace}
