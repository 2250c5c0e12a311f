-- Undoes V12: releases before it don't ask.
drop function platform_serves_from;
