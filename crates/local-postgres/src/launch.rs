//! Starts the server process and waits until it answers.

use std::{
    fs::{self, File, OpenOptions},
    io::{Read, Seek, SeekFrom},
    net::{Ipv4Addr, TcpListener, TcpStream},
    os::unix::{fs::OpenOptionsExt, process::CommandExt},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tokio_postgres::{NoTls, SimpleQueryMessage, error::SqlState};

use crate::{
    Durability, Error, Installation, Options, Superuser, account::Account, error::IoContext, place::Place, postmaster,
};

/// Recovery after a crash can take its time.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(15);
/// A log that has grown past this starts afresh.
const LOG_LIMIT: u64 = 16 << 20;
/// Reasons to try again, as the server words them: backends of a killed server that have not noticed yet, and a port that was just taken.
const PASSING: [&str; 2] = ["pre-existing shared memory block", "could not create any TCP/IP sockets"];

/// Starts the server; with port 0 on a free one, which `superuser` then names.
pub(crate) async fn launch(
    installation: &Installation,
    place: &Place,
    account: Option<Account>,
    options: &Options,
    superuser: &mut Superuser,
) -> Result<Child, Error> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        superuser.port = if options.port == 0 { free_port()? } else { free(options.port)? };
        postmaster::disarm_stale_pid_file(&place.data)?;
        let mut log = open_log(&place.log(), account)?;
        let begins = log.seek(SeekFrom::End(0)).trying("read", place.log())?;
        let mut server = spawn(installation, place, account, options, superuser.port, &log)?;
        let outcome = ready(superuser, &place.data, deadline, || ended(&mut server)).await;
        let Err(error) = outcome else { return Ok(server) };
        let tail = tail(&place.log(), begins);
        let again = PASSING.iter().any(|reason| tail.contains(reason)) && Instant::now() < deadline;
        let _ = server.kill();
        let _ = server.wait();
        if !again {
            return Err(named(error, place, tail));
        }
        tokio::time::sleep(PAUSE * 10).await;
    }
}

/// Waits until the server answers as the one that serves this data directory.
pub(crate) async fn ready(
    superuser: &Superuser,
    data: &Path,
    deadline: Instant,
    mut ended: impl FnMut() -> Option<String>,
) -> Result<(), Error> {
    loop {
        let reason = match serving(superuser).await {
            Ok(directory) if Path::new(&directory) == data => return Ok(()),
            Ok(_) => return Err(Error::PortTaken(superuser.port)),
            Err(error) if error.code() == Some(&SqlState::INVALID_PASSWORD) => {
                return Err(Error::PortTaken(superuser.port));
            }
            Err(error) => error.to_string(),
        };
        let reason = ended().or_else(|| (Instant::now() > deadline).then_some(reason));
        if let Some(reason) = reason {
            return Err(Error::NotReady { reason, log: data.to_path_buf(), log_tail: String::new() });
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// The data directory of the server that answers.
async fn serving(superuser: &Superuser) -> Result<String, tokio_postgres::Error> {
    let mut config = superuser.config();
    config.connect_timeout(Duration::from_secs(5));
    let (client, connection) = config.connect(NoTls).await?;
    let connection = tokio::spawn(connection);
    let messages = client.simple_query("show data_directory").await?;
    drop(client);
    // Its end says nothing that the answer did not.
    let _ = connection.await;
    let directory = messages.iter().find_map(|message| {
        let SimpleQueryMessage::Row(row) = message else { return None };
        row.get(0)
    });
    Ok(directory.unwrap_or_default().to_owned())
}

fn spawn(
    installation: &Installation,
    place: &Place,
    account: Option<Account>,
    options: &Options,
    port: u16,
    log: &File,
) -> Result<Child, Error> {
    let program = installation.program("postgres");
    let mut command = Command::new(&program);
    command.arg("-D").arg(&place.data).arg("-p").arg(port.to_string());
    for (name, value) in settings(options) {
        command.arg("-c").arg(format!("{name}={value}"));
    }
    let output = log.try_clone().trying("write", place.log())?;
    let complaints = log.try_clone().trying("write", place.log())?;
    // A process group of its own, so that Ctrl-C in a terminal reaches our programs and not the server under them.
    command.current_dir("/").process_group(0).stdin(Stdio::null()).stdout(output).stderr(complaints);
    if let Some(account) = account {
        account.apply(&mut command);
    }
    command.spawn().trying("run", program)
}

/// Later ones win, so what the caller asks for comes last.
fn settings(options: &Options) -> Vec<(String, String)> {
    let mut settings = vec![
        ("listen_addresses".to_owned(), Ipv4Addr::LOCALHOST.to_string()),
        ("unix_socket_directories".to_owned(), String::new()),
        ("max_connections".to_owned(), options.max_connections.to_string()),
        // Each database is visited once in this time, whether there is anything to do or not: with a thousand of them, once a minute
        // is half a processor.
        ("autovacuum_naptime".to_owned(), "5min".to_owned()),
        ("log_line_prefix".to_owned(), "%m [%p] %q%u@%d ".to_owned()),
    ];
    if options.durability == Durability::Throwaway {
        settings.extend(
            ["fsync", "synchronous_commit", "full_page_writes"].map(|name| (name.to_owned(), "off".to_owned())),
        );
    }
    settings.extend(options.settings.iter().cloned());
    settings
}

fn ended(server: &mut Child) -> Option<String> {
    match server.try_wait() {
        Ok(None) => None,
        Ok(Some(status)) => Some(format!("it ended ({status})")),
        Err(error) => Some(error.to_string()),
    }
}

fn open_log(path: &Path, account: Option<Account>) -> Result<File, Error> {
    if fs::metadata(path).is_ok_and(|metadata| metadata.len() > LOG_LIMIT) {
        fs::rename(path, path.with_extension("log.old")).trying("move", path)?;
    }
    let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path).trying("open", path)?;
    account.map_or(Ok(()), |account| account.own(path))?;
    Ok(file)
}

fn free_port() -> Result<u16, Error> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).trying("find a free port on", "127.0.0.1")?;
    Ok(listener.local_addr().trying("find a free port on", "127.0.0.1")?.port())
}

/// Both are asked: a listener on all addresses may leave room for one on loopback.
fn free(port: u16) -> Result<u16, Error> {
    let answers = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok();
    let bindable = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    if answers || !bindable { Err(Error::PortTaken(port)) } else { Ok(port) }
}

/// The last lines that the log has from `begins` on.
fn tail(log: &Path, begins: u64) -> String {
    let mut text = String::new();
    let read = File::open(log)
        .and_then(|mut file| file.seek(SeekFrom::Start(begins)).and_then(|_| file.read_to_string(&mut text)));
    if let Err(error) = read {
        return error.to_string();
    }
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}

fn named(error: Error, place: &Place, log_tail: String) -> Error {
    if let Error::NotReady { reason, .. } = error {
        return Error::NotReady { reason, log: place.log(), log_tail };
    }
    error
}
