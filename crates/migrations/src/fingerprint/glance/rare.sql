select * from pg_sequence where seqrelid {own};
select objid, refobjid, refobjsubid from pg_depend
where classid = 'pg_class'::regclass and objid in (select seqrelid from pg_sequence where seqrelid {own})
    and deptype in ('a', 'i') and refclassid = 'pg_class'::regclass;
select * from pg_enum where enumtypid in (select oid from pg_type where typnamespace = {namespace});
select * from pg_range where rngtypid in (select oid from pg_type where typnamespace = {namespace});
select * from pg_partitioned_table where partrelid {own}
