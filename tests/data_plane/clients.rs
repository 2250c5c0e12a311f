//! Clients of other people that tests run: which are here, and which must be. `cargo xtask test` installs them and names those that
//! it has in `ROWHOUSE_CLIENTS`; the test of one that is named there fails where it does not start. Without that name a test looks
//! at nothing where its client is missing, and says so.

use std::io::Write;
use std::process::Output;

use tokio::process::Command;

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Client {
    Aws,
    Boto3,
    Rclone,
    Tuspy,
    TusJs,
}

impl Client {
    const ALL: [Self; 5] = [Self::Aws, Self::Boto3, Self::Rclone, Self::Tuspy, Self::TusJs];

    fn name(self) -> &'static str {
        match self {
            Self::Aws => "aws",
            Self::Boto3 => "boto3",
            Self::Rclone => "rclone",
            Self::Tuspy => "tuspy",
            Self::TusJs => "tus-js-client",
        }
    }

    /// What succeeds where it is installed.
    fn probe(self) -> &'static [&'static str] {
        match self {
            Self::Aws => &["aws", "--version"],
            Self::Boto3 => &["python3", "-c", "import boto3"],
            Self::Rclone => &["rclone", "version"],
            Self::Tuspy => &["python3", "-c", "import tusclient.client"],
            Self::TusJs => &["node", "-e", "require('tus-js-client')"],
        }
    }

    /// Whether it is here. Without it a test has nothing to look at.
    ///
    /// # Panics
    /// Where it must be here and does not start.
    pub(crate) async fn is_here(self) -> bool {
        #[expect(clippy::disallowed_methods, reason = "a switch of these tests alone")]
        let named = std::env::var("ROWHOUSE_CLIENTS").ok();
        let output = Command::new(self.probe()[0]).args(&self.probe()[1..]).output().await;
        let starts = output.is_ok_and(|output| output.status.success());
        let is_here = self.decide(named.as_deref(), starts).unwrap();
        if !is_here {
            // Not captured, unlike what `eprintln!` prints: nobody is to believe that something was tested.
            let _ = writeln!(std::io::stderr(), "not tested: {}: not installed", self.name());
        }
        is_here
    }

    fn decide(self, named: Option<&str>, starts: bool) -> Result<bool, String> {
        let Some(named) = named else { return Ok(starts) };
        let names: Vec<&str> = named.split(',').filter(|name| !name.is_empty()).collect();
        if let Some(odd) = names.iter().find(|name| Self::ALL.iter().all(|client| client.name() != **name)) {
            return Err(format!("ROWHOUSE_CLIENTS names {odd}, of which no test knows"));
        }
        match (names.contains(&self.name()), starts) {
            (true, false) => Err(format!("ROWHOUSE_CLIENTS names {}, which does not start", self.name())),
            (is_named, _) => Ok(is_named),
        }
    }
}

/// What a program printed.
///
/// # Panics
/// Where it failed.
pub(crate) fn succeeded(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn a_client_that_is_named_must_start() {
    let rclone = Client::Rclone;
    assert_eq!(rclone.decide(Some("aws,rclone"), true), Ok(true));
    assert!(rclone.decide(Some("aws,rclone"), false).is_err());
    // Not named: installed meanwhile, or by half.
    assert_eq!(rclone.decide(Some("aws"), true), Ok(false));
    assert_eq!(rclone.decide(Some(""), false), Ok(false));
    assert!(rclone.decide(Some("aws,rcloen"), true).is_err(), "a name that no test goes by");
    // Nobody has said anything.
    assert_eq!(rclone.decide(None, true), Ok(true));
    assert_eq!(rclone.decide(None, false), Ok(false));
}
