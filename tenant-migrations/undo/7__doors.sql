-- Undoes V7: signed links, which open nothing any more.
drop table links;
