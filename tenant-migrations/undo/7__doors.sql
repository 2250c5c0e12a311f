-- Undoes V7: signed links, which open nothing any more, and uploads in parts with what has come of them; their objects are left
-- to a comparison of the store with the rows.
drop table upload_parts, upload_sessions, links;
