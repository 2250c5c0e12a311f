//! What a file says of tables, read from squawk's syntax tree.

use squawk_syntax::ast::{self, AstNode};

/// A table that the file makes for good.
pub(super) struct NewTable {
    pub(super) name: String,
    /// Where it is made, in bytes.
    pub(super) offset: usize,
    /// The first column of its primary key; none where it has no key.
    pub(super) first_of_key: Option<String>,
}

/// Tables that the file makes, without temporary ones and partitions, which have what their table has.
pub(super) fn new_tables(file: &ast::SourceFile) -> Vec<NewTable> {
    file.stmts()
        .filter_map(|statement| if let ast::Stmt::CreateTable(table) = statement { Some(table) } else { None })
        .filter(|table| {
            table.partition_of().is_none() && table.temp_token().is_none() && table.temporary_token().is_none()
        })
        .filter_map(|table| {
            Some(NewTable {
                name: last_name(&table.path()?)?,
                offset: offset_of(table.syntax()),
                first_of_key: first_of_key(&table),
            })
        })
        .collect()
}

/// Tables whose row-level security the file enables.
pub(super) fn with_row_security(file: &ast::SourceFile) -> Vec<String> {
    file.stmts()
        .filter_map(|statement| if let ast::Stmt::AlterTable(table) = statement { Some(table) } else { None })
        .filter(|table| table.actions().any(|action| matches!(action, ast::AlterTableAction::EnableRls(_))))
        .filter_map(|table| last_name(&table.relation_name()?.path()?))
        .collect()
}

/// Tables that the file makes a policy for.
pub(super) fn with_policy(file: &ast::SourceFile) -> Vec<String> {
    file.stmts()
        .filter_map(|statement| if let ast::Stmt::CreatePolicy(policy) = statement { Some(policy) } else { None })
        .filter_map(|policy| last_name(&policy.on_table()?.path()?))
        .collect()
}

/// Where tables are made of queries for good, in bytes.
pub(super) fn tables_from_queries(file: &ast::SourceFile) -> Vec<usize> {
    let is_temporary = |into: ast::IntoClause| {
        let words = into.syntax().text().to_string().to_lowercase();
        words.split_whitespace().any(|word| word == "temp" || word == "temporary")
    };
    let is_made = |statement: &ast::Stmt| {
        matches!(statement, ast::Stmt::CreateTableAs(table)
            if table.temp_token().is_none() && table.temporary_token().is_none())
            || matches!(statement, ast::Stmt::SelectInto(select)
                if !select.into_clause().is_some_and(is_temporary))
    };
    file.stmts().filter(is_made).map(|statement| offset_of(statement.syntax())).collect()
}

/// Tables that the file drops a policy of, and where.
pub(super) fn without_policy(file: &ast::SourceFile) -> Vec<(String, usize)> {
    file.stmts()
        .filter_map(|statement| if let ast::Stmt::DropPolicy(policy) = statement { Some(policy) } else { None })
        .filter_map(|policy| Some((last_name(&policy.on_table()?.path()?)?, offset_of(policy.syntax()))))
        .collect()
}

/// Tables whose row-level security the file disables, and where.
pub(super) fn without_row_security(file: &ast::SourceFile) -> Vec<(String, usize)> {
    file.stmts()
        .filter_map(|statement| if let ast::Stmt::AlterTable(table) = statement { Some(table) } else { None })
        .filter(|table| table.actions().any(|action| matches!(action, ast::AlterTableAction::DisableRls(_))))
        .filter_map(|table| Some((last_name(&table.relation_name()?.path()?)?, offset_of(table.syntax()))))
        .collect()
}

/// Where a node's own text begins, behind blanks and comments.
pub(super) fn offset_of(node: &squawk_syntax::SyntaxNode) -> usize {
    let first =
        node.descendants_with_tokens().filter_map(|element| element.into_token()).find(|token| !is_blank(token.text()));
    first.map_or_else(|| node.text_range().start(), |token| token.text_range().start()).into()
}

fn is_blank(token: &str) -> bool {
    token.trim().is_empty() || token.starts_with("--") || token.starts_with("/*")
}

fn first_of_key(table: &ast::CreateTable) -> Option<String> {
    let arguments = table.table_arg_list()?;
    arguments.args().find_map(|argument| match argument {
        ast::TableArg::TableConstraint(ast::TableConstraint::PrimaryKeyConstraint(key)) => {
            key.column_list()?.columns().next().map(|column| plain(&column.syntax().text().to_string()))
        }
        ast::TableArg::Column(column) => {
            let is_key = |node| {
                matches!(ast::ColumnConstraint::cast(node), Some(ast::ColumnConstraint::PrimaryKeyConstraint(_)))
            };
            let name = column.name()?;
            column.syntax().children().any(is_key).then(|| plain(&name.text()))
        }
        ast::TableArg::TableConstraint(_) | ast::TableArg::LikeClause(_) => None,
    })
}

fn last_name(path: &ast::Path) -> Option<String> {
    Some(plain(&path.segment()?.syntax().text().to_string()))
}

fn plain(name: &str) -> String {
    let name = name.trim();
    name.strip_prefix('"').and_then(|name| name.strip_suffix('"')).map_or_else(|| name.to_lowercase(), str::to_owned)
}
