//! What a superuser does once for a cluster: roles, the base database, `saas_platform`.

use secrecy::SecretString;

use crate::admin::{AdminConnection, ServerAddress};
use crate::error::Described;
use crate::identifier::quote_literal;
use crate::tls::Tls;
use rowhouse_problem::Result;

const BOOTSTRAP: &str = include_str!("bootstrap.sql");
const MARKER: &str = "\n-- rowhouse: section ";

/// Passwords of the two service logins. Only their SCRAM verifiers reach the server.
pub struct BootstrapPasswords {
    /// Of `rowhouse_control`.
    pub control: SecretString,
    /// Of `rowhouse_data`.
    pub data: SecretString,
}

/// What a cluster is prepared for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// For tenants, and for `saas_platform` too: the first cluster.
    PlatformAndTenants,
    /// For tenants only: every further cluster.
    Tenants,
}

/// Statements that belong together, sent to one database as one simple query.
pub struct BootstrapSection {
    /// The database to connect to.
    pub database: String,
    /// The database that the section creates; it is skipped where that one exists.
    pub creates: Option<String>,
    /// The statements.
    pub sql: String,
}

/// The whole bootstrap in order, for printing or for running by hand.
pub fn bootstrap_sections(passwords: &BootstrapPasswords, purpose: Purpose) -> Vec<BootstrapSection> {
    let verifier = |password: &SecretString| quote_literal(&rowhouse_keys::scram_verifier(password));
    let sql = BOOTSTRAP
        .replace("{{control_password}}", &verifier(&passwords.control))
        .replace("{{data_password}}", &verifier(&passwords.data));
    let sections = sql.split(MARKER).skip(1);
    let wanted = sections.filter(|section| purpose == Purpose::PlatformAndTenants || !section.starts_with("platform_"));
    wanted.filter_map(parse_section).collect()
}

/// What is done in a new, empty database before the first migration of `saas_platform`. Its owner may do it, too.
///
/// # Panics
/// Never: the section is there.
pub fn platform_schema() -> &'static str {
    let section = BOOTSTRAP.split(MARKER).find_map(|section| section.strip_prefix("platform_schema "));
    section.and_then(|section| section.split_once('\n')).expect("a test has read it").1
}

/// A section is a header (`name database=… creates=…`) and its statements.
fn parse_section(section: &str) -> Option<BootstrapSection> {
    let (header, sql) = section.split_once('\n')?;
    let attribute = |name: &str| {
        let mut attributes = header.split_whitespace().filter_map(|word| word.split_once('='));
        attributes.find(|(key, _)| *key == name).map(|(_, value)| value.to_owned())
    };
    Some(BootstrapSection {
        database: attribute("database")?,
        creates: attribute("creates"),
        sql: sql.trim().to_owned(),
    })
}

/// Runs the bootstrap as the superuser of `address`. Running it again changes only the passwords.
///
/// # Errors
/// What the server says, with the database that it said it about.
pub async fn bootstrap(
    address: &ServerAddress,
    tls: &Tls,
    passwords: &BootstrapPasswords,
    purpose: Purpose,
) -> Result<()> {
    for section in bootstrap_sections(passwords, purpose) {
        let connection = AdminConnection::open(address, &section.database, tls).await?;
        if let Some(database) = &section.creates {
            let existing = connection
                .query("select from pg_database where datname = $1", &[database])
                .await
                .context("looking for a database")?;
            if !existing.is_empty() {
                continue;
            }
        }
        connection.run(&section.sql).await.context(&format!("bootstrapping {}", section.database))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_is_part_of_a_statement() {
        let secret = "correct horse battery staple";
        let passwords = BootstrapPasswords { control: SecretString::from(secret), data: SecretString::from(secret) };
        let sections = bootstrap_sections(&passwords, Purpose::PlatformAndTenants);
        assert!(sections.len() > 2);
        assert!(sections.iter().all(|section| !section.sql.contains(secret) && !section.sql.contains("{{")));
    }

    #[test]
    fn what_a_new_platform_database_begins_with_is_there() {
        assert!(platform_schema().starts_with("alter schema public owner to rowhouse_owner;\n"));
        assert!(!platform_schema().contains("rowhouse: section"));
    }

    #[test]
    fn a_further_cluster_gets_no_platform_database() {
        let secret = || SecretString::from("x");
        let passwords = BootstrapPasswords { control: secret(), data: secret() };
        let names = |purpose| -> Vec<bool> {
            let sections = bootstrap_sections(&passwords, purpose);
            sections.iter().map(|section| section.sql.contains("database saas_platform")).collect()
        };
        assert!(names(Purpose::PlatformAndTenants).contains(&true));
        assert!(names(Purpose::Tenants).len() > 2 && !names(Purpose::Tenants).contains(&true));
    }
}
