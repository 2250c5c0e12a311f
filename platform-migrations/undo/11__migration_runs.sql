-- Undoes V11: schemas are only migrated when they are made.
drop function fleet_selected;
drop view fleet_schemas;
drop table migration_run_schemas, migration_runs, migration_holds;
drop type schema_migration_state, migration_phase, migration_run_state, migration_order, migration_direction;
