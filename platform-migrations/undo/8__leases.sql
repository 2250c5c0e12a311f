-- Undoes V8: each replica keeps to its own setting again.
drop function connections_release, connections_gone, connections_lease;
drop table connection_leases;
