-- Undoes V6: jobs, the unfinished too, and answers to repeated requests.
drop table idempotency_keys, jobs;
