-- Undoes V7: templates, stock and the clusters' health. The databases themselves are not touched.
drop table cluster_health, stock_databases, templates;
