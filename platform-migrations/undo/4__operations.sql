-- Undoes V4: operations, answers to repeated requests, work marks.
drop table tenant_work, idempotency_keys, operation_steps, operations;
drop sequence tenant_work_generation_seq;
drop type idempotency_state, operation_step_state, operation_state;
