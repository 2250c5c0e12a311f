//! Public clients of the data plane's doors, which tests run: the AWS CLI, boto3, rclone, tuspy, tus-js-client.
//!
//! Those in Python come with the versions that `tests/clients.txt` pins into a virtual environment in `target/clients`, rclone
//! from the distribution, and so do the others where there is no package index; the one in JavaScript comes with the versions that
//! `tests/clients_in_javascript` locks, by the distribution's npm. Each step looks first, so a second run does
//! nothing. Whatever can't be had is no error, as the suite must also run where there is no network: it is named before the tests
//! and behind them. What is there is named to the tests, so that one of them fails if it does not find it.

use std::{
    env,
    ffi::{OsStr, OsString},
    fs, iter,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, bail};

use super::apt::Apt;
use crate::{console, workspace};

/// Which clients are there, for the tests. They know them by the same names.
const VARIABLE: &str = "ROWHOUSE_CLIENTS";

/// One of them.
struct Client {
    name: &'static str,
    /// Prints its version, if it starts.
    probe: &'static [&'static str],
    /// Debian's package.
    package: &'static str,
}

const PYTHON_CLIENTS: [Client; 3] = [
    Client { name: "aws", probe: &["aws", "--version"], package: "awscli" },
    Client {
        name: "boto3",
        probe: &["python3", "-c", "import boto3; print(boto3.__version__)"],
        package: "python3-boto3",
    },
    Client {
        name: "tuspy",
        probe: &["python3", "-c", "import tusclient.client; print(tusclient.__version__)"],
        package: "python3-tuspy",
    },
];

const RCLONE: Client = Client { name: "rclone", probe: &["rclone", "version"], package: "rclone" };

const JAVASCRIPT: Client = Client {
    name: "tus-js-client",
    probe: &["node", "-e", "console.log(require('tus-js-client/package.json').version)"],
    package: "npm",
};

/// What those in JavaScript are pinned by.
const JAVASCRIPT_LOCK: &str = "package-lock.json";

fn javascript(name: &str) -> PathBuf {
    workspace::root().join("tests/clients_in_javascript").join(name)
}

/// Where Node.js looks for what is required.
const NODE_PATH: &str = "NODE_PATH";

/// The clients of this machine.
pub(crate) struct Clients {
    search_path: OsString,
    /// Those in JavaScript.
    modules: PathBuf,
    found: Vec<&'static str>,
    missing: Vec<&'static str>,
}

impl Clients {
    /// Looks for them, and installs what is missing where it can.
    pub(crate) fn ensure() -> anyhow::Result<Self> {
        let environment = Environment::new()?;
        let mut apt = Apt::usable();
        environment.ensure(&mut apt);
        if version(&RCLONE, &environment.search_path).is_none() {
            install(&mut apt, RCLONE.package);
        }
        let modules = environment.folder.join("javascript/node_modules");
        let mut clients =
            Self { search_path: environment.search_path, modules, found: Vec::new(), missing: Vec::new() };
        if !(clients.has_locked_modules() && clients.version(&JAVASCRIPT).is_some())
            && let Err(error) = clients.install_modules(&mut apt)
        {
            console::missing(&format!("no client in JavaScript: {error:#}"));
        }
        for client in PYTHON_CLIENTS.iter().chain([&RCLONE, &JAVASCRIPT]) {
            match clients.version(client) {
                Some(version) => {
                    console::done(&format!("{} {version}", client.name));
                    clients.found.push(client.name);
                }
                None => clients.missing.push(client.name),
            }
        }
        clients.tell_missing();
        Ok(clients)
    }

    /// Lets tests find them, and says which they must find.
    pub(crate) fn offer(&self, tests: &mut Command) {
        tests.env("PATH", &self.search_path).env(NODE_PATH, &self.modules).env(VARIABLE, self.found.join(","));
    }

    fn version(&self, client: &Client) -> Option<String> {
        version_with(client, &self.search_path, &self.modules)
    }

    /// Whether those in JavaScript were installed from the lock file as it is now.
    fn has_locked_modules(&self) -> bool {
        let installed = self.modules.with_file_name(JAVASCRIPT_LOCK);
        fs::read(installed)
            .is_ok_and(|installed| fs::read(javascript(JAVASCRIPT_LOCK)).is_ok_and(|now| now == installed))
    }

    /// Installs what is locked. What was begun and not ended is begun anew the next time, as nothing starts then.
    fn install_modules(&self, apt: &mut Option<Apt>) -> anyhow::Result<()> {
        let starts = |program: &str| console::succeeds(Command::new(program).arg("--version"));
        if !starts("npm") {
            install(apt, JAVASCRIPT.package);
        }
        console::doing("installing what tests/clients_in_javascript locks into target/clients");
        let folder = self.modules.parent().context("modules lie in a folder")?;
        fs::create_dir_all(folder).context("cannot make the folder")?;
        for name in ["package.json", JAVASCRIPT_LOCK] {
            fs::copy(javascript(name), folder.join(name)).context("cannot copy what is locked")?;
        }
        let mut npm = Command::new("npm");
        npm.current_dir(folder).args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=2"]);
        console::run_quietly(&mut npm).map(drop)
    }

    /// Names what could not be had.
    pub(crate) fn tell_missing(&self) {
        if !self.missing.is_empty() {
            console::missing(&format!("not tested: {}: not installed", self.missing.join(", ")));
        }
    }
}

/// The virtual environment.
struct Environment {
    folder: PathBuf,
    /// With its programs first.
    search_path: OsString,
}

impl Environment {
    fn new() -> anyhow::Result<Self> {
        let folder = workspace::target()?.join("clients");
        let usual = env::var_os("PATH").unwrap_or_default();
        let folders = iter::once(folder.join("bin")).chain(env::split_paths(&usual));
        let search_path = env::join_paths(folders).context("the search path can't hold the target folder")?;
        Ok(Self { folder, search_path })
    }

    /// Fills it from the pins. Where that fails the distribution's clients do, until the pins change or it is deleted.
    fn ensure(&self, apt: &mut Option<Apt>) {
        let pins = workspace::root().join("tests/clients.txt");
        if self.is_for(&pins) && self.started() == PYTHON_CLIENTS.len() {
            return;
        }
        let Err(error) = self.install(&pins, apt) else { return };
        console::missing(&format!("no clients from the package index: {error:#}"));
        if let Err(error) = self.fall_back(&pins, apt) {
            console::missing(&format!("no clients from the distribution: {error:#}"));
        }
    }

    /// How many of the clients in Python start.
    fn started(&self) -> usize {
        PYTHON_CLIENTS.iter().filter(|client| version(client, &self.search_path).is_some()).count()
    }

    /// Where the pins are noted that all this was done for.
    fn note(&self) -> PathBuf {
        self.folder.join("made-for.txt")
    }

    fn is_for(&self, pins: &Path) -> bool {
        fs::read(self.note()).is_ok_and(|noted| fs::read(pins).is_ok_and(|pins| pins == noted))
    }

    fn install(&self, pins: &Path, apt: &mut Option<Apt>) -> anyhow::Result<()> {
        if python().is_none() {
            install(apt, "python3-venv");
        }
        let python = python().context("there is no Python with `venv`")?;
        console::doing("installing what tests/clients.txt names into target/clients");
        console::run_quietly(Command::new(python).args(["-m", "venv", "--clear"]).arg(&self.folder))?;
        let mut pip = Command::new(self.folder.join("bin/python3"));
        // Few retries, so that it is soon found out where there is no network.
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--retries=2", "--requirement"]);
        console::run_quietly(pip.arg(pins))?;
        self.finish(pins)
    }

    /// Has the distribution's packages. Where another Python than the distribution's comes first in the search path, it knows nothing
    /// of them, so an environment that is nothing but the latter comes before it.
    fn fall_back(&self, pins: &Path, apt: &mut Option<Apt>) -> anyhow::Result<()> {
        self.clear()?;
        let before = self.started();
        if before < PYTHON_CLIENTS.len() && apt.is_some() {
            PYTHON_CLIENTS.iter().for_each(|client| install(apt, client.package));
            if self.started() < PYTHON_CLIENTS.len() {
                let mut venv = Command::new(DISTRIBUTIONS_PYTHON);
                venv.args(["-m", "venv", "--without-pip", "--system-site-packages"]).arg(&self.folder);
                console::run_quietly(&mut venv)?;
                if self.started() < before {
                    self.clear()?;
                }
            }
        }
        fs::create_dir_all(&self.folder).context("cannot make the folder")?;
        self.finish(pins)
    }

    fn clear(&self) -> anyhow::Result<()> {
        if self.folder.exists() {
            fs::remove_dir_all(&self.folder).context("cannot remove what was begun")?;
        }
        Ok(())
    }

    /// Notes what all this was done for, if every client starts.
    fn finish(&self, pins: &Path) -> anyhow::Result<()> {
        if self.started() < PYTHON_CLIENTS.len() {
            bail!("not everything that was installed starts");
        }
        fs::copy(pins, self.note()).context("cannot note what was installed")?;
        Ok(())
    }
}

/// What a client says of its version; none where it does not start.
fn version(client: &Client, search_path: &OsStr) -> Option<String> {
    version_with(client, search_path, Path::new(""))
}

fn version_with(client: &Client, search_path: &OsStr, modules: &Path) -> Option<String> {
    let (program, arguments) = client.probe.split_first()?;
    let mut probe = Command::new(program);
    probe.args(arguments).env("PATH", search_path).env(NODE_PATH, modules);
    let printed = console::run_quietly(&mut probe).ok()?;
    version_in(&printed)
}

const DISTRIBUTIONS_PYTHON: &str = "/usr/bin/python3";

/// A Python that can make virtual environments, which Debian's can't by itself.
fn python() -> Option<&'static str> {
    let is_able = |python: &&str| console::succeeds(Command::new(python).args(["-c", "import venv, ensurepip"]));
    ["python3", DISTRIBUTIONS_PYTHON].into_iter().find(is_able)
}

/// Installs a package where this machine lets us. Whether it is there then is for others to see.
fn install(apt: &mut Option<Apt>, package: &str) {
    let Some(apt) = apt else { return };
    if let Err(error) = apt.install(&[package]) {
        console::missing(&format!("{error:#}"));
    }
}

/// The first number with dots in what a program prints: `aws-cli/1.46.3 Python/3.11.7`, `rclone v1.60.1-DEV`.
fn version_in(printed: &str) -> Option<String> {
    let begin = printed.find(|character: char| character.is_ascii_digit())?;
    let number = printed[begin..].split(|character: char| !character.is_ascii_digit() && character != '.').next()?;
    Some(number.to_owned())
}

#[cfg(test)]
mod tests {
    use super::version_in;

    #[test]
    fn versions_are_read_from_what_clients_print() {
        for (printed, version) in [
            ("aws-cli/1.46.3 Python/3.11.7 Linux/6.1 botocore/1.43.62\n", Some("1.46.3")),
            ("rclone v1.60.1-DEV\n- os/version: debian 12.11 (64 bit)\n", Some("1.60.1")),
            ("1.44.5\n", Some("1.44.5")),
            ("", None),
        ] {
            assert_eq!(version_in(printed).as_deref(), version, "{printed}");
        }
    }
}
