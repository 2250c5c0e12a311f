-- Undoes V11: schemas are only migrated when they are made.
drop function fleet_selected, canaries_add, canaries_watched;
drop view fleet_schemas;
drop table migration_notices, migration_canaries, migration_run_schemas, migration_runs, migration_holds;
drop function migration_runs_notice;
drop type migration_verify, schema_migration_state, migration_rehearsal, migration_phase, migration_run_state, migration_order,
    migration_direction;
