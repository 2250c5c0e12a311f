-- Undoes V4: everything here can be computed again from the files.
drop table file_embeddings, workspace_search, folder_search, file_search, search_vocabulary;
drop function file_search_learn_words();
drop function search_metadata_tokens(text, text);
drop function search_content_tokens(text, text, text);
drop function search_words(text);
drop function search_normalize(text);
