-- Undoes V4: operations, answers to repeated requests, work marks, walks over objects.
drop function object_walks_put_off(uuid, interval);
drop function object_walks_claim(interval, integer);
drop table object_walks, tenant_work, idempotency_keys, operation_steps, operations;
drop sequence tenant_work_generation_seq;
drop type idempotency_state, operation_step_state, operation_state;
