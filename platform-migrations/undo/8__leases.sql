-- Undoes V8: each replica keeps to its own setting again.
drop function replica_serves, connections_release, connections_gone, connections_lease;
drop table data_plane_replicas, connection_leases;
