//! The only places where a name or a text becomes part of a statement.

/// Quotes an identifier (PostgreSQL manual §4.1.1), whatever it contains.
pub fn quote_ident(name: &str) -> String {
    postgres_protocol::escape::escape_identifier(name)
}

/// Quotes a string constant (PostgreSQL manual §4.1.2), for statements that take no parameters, such as DDL.
pub fn quote_literal(text: &str) -> String {
    postgres_protocol::escape::escape_literal(text)
}
