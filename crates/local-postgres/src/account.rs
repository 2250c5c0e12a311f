//! Which account the server runs as. PostgreSQL refuses to run as root, so root hands it to an unprivileged account.

use std::{
    fs::{self, Metadata},
    os::unix::{fs::MetadataExt, process::CommandExt},
    path::Path,
    process::Command,
};

use crate::{Error, error::IoContext};

/// The accounts to prefer, in order.
const NAMES: [&str; 2] = ["postgres", "nobody"];

/// An unprivileged account that is not our own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    uid: u32,
    gid: u32,
}

impl Account {
    /// The account to run a server as; none when we are not root, for then it runs as ourselves.
    pub(crate) fn for_server() -> Result<Option<Self>, Error> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        let accounts = fs::read_to_string("/etc/passwd").trying("read", "/etc/passwd")?;
        let found = NAMES.iter().find_map(|name| Self::named(name, &accounts));
        found.map(Some).ok_or(Error::NoAccount)
    }

    /// Makes a program run as this account.
    pub(crate) fn apply(self, command: &mut Command) {
        command.gid(self.gid).uid(self.uid);
    }

    /// Hands a file or folder over.
    pub(crate) fn own(self, path: &Path) -> Result<(), Error> {
        std::os::unix::fs::chown(path, Some(self.uid), Some(self.gid)).trying("hand over", path)
    }

    /// Whether the account may pass through every folder down to and including `folder`.
    pub(crate) fn can_reach(self, folder: &Path) -> Result<bool, Error> {
        for ancestor in folder.ancestors() {
            let metadata = fs::metadata(ancestor).trying("look at", ancestor)?;
            if !self.may_enter(&metadata) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn may_enter(self, folder: &Metadata) -> bool {
        let bit = match (folder.uid() == self.uid, folder.gid() == self.gid) {
            (true, _) => 0o100,
            (false, true) => 0o010,
            (false, false) => 0o001,
        };
        folder.mode() & bit != 0
    }

    fn named(name: &str, accounts: &str) -> Option<Self> {
        let fields: Vec<&str> =
            accounts.lines().map(|line| line.split(':').collect()).find(|fields: &Vec<&str>| fields[0] == name)?;
        Some(Self { uid: fields.get(2)?.parse().ok()?, gid: fields.get(3)?.parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::Account;

    #[test]
    fn accounts_are_read_from_the_password_file() {
        let accounts = "root:x:0:0::/root:/bin/sh\npostgres-old:x:9:9::/:/bin/sh\npostgres:x:101:104:PostgreSQL,,,:/var/lib/postgresql:/bin/bash\nodd\n";
        assert_eq!(Account::named("postgres", accounts), Some(Account { uid: 101, gid: 104 }));
        assert_eq!(Account::named("nobody", accounts), None);
        assert_eq!(Account::named("odd", accounts), None);
    }
}
