//! What is asked for before something is done that is not to be done by mistake.

use std::io::{IsTerminal, Write, stdin, stdout};

use anyhow::{Result, bail};

/// Whether somebody at a terminal says yes.
///
/// # Errors
/// Where there is no terminal; `--yes` is for that.
pub(crate) fn confirmed(question: &str) -> Result<bool> {
    if !stdin().is_terminal() {
        bail!("there is no terminal to ask at; add --yes");
    }
    print!("{question} Type `yes`: ");
    stdout().flush()?;
    let mut answer = String::new();
    stdin().read_line(&mut answer)?;
    Ok(answer.trim() == "yes")
}
