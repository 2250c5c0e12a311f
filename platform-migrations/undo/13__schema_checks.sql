-- Undoes V13: schemas are no longer compared with their templates.
drop table schema_acceptances, schema_checks, schema_sweeps, template_fingerprints;
drop type schema_check_state, schema_sweep_state, schema_sweep_cause;
