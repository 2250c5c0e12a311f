-- Undoes V5: the search functions.
drop function search_items_hybrid(text, vector, text[], uuid, integer, text);
drop function search_items_semantic(text, vector, text[], uuid, integer, text);
drop function search_items_fuzzy(text, text[], uuid, integer);
drop function search_items_text(text, text[], uuid, integer);
drop function search_present(uuid, text, text[], uuid[], double precision[], integer[]);
drop function search_snippet(uuid, text, uuid, integer, tsquery);
drop function search_rank_semantic(uuid, vector, text[], uuid, integer, text);
drop function search_rank_fuzzy(uuid, text, text[], uuid, integer);
drop function search_similar_words(uuid, text);
drop function search_rank_text(uuid, text, text[], uuid, integer);
drop function search_metadata_query(text);
drop function search_content_query(text);
