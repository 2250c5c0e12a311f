//! A look each second, drawn over the one before.

use std::io::{IsTerminal, Write, stdout};
use std::time::{Duration, Instant};

use anyhow::Result;
use crossterm::event::{self, Event, KeyCode, KeyModifiers};
use crossterm::{cursor, execute, queue, style, terminal};

use super::{Source, table};

/// Looks again and again. A look that fails ends it only where nobody sees the screen.
pub(super) async fn watch(source: &Source, pause: Duration, count: usize, json: bool) -> Result<()> {
    if json {
        return lines(source, pause, count, async |source| source.text().await).await;
    }
    if !stdout().is_terminal() {
        return lines(source, pause, count, async |source| Ok(table::draw(&source.pools().await?, None))).await;
    }
    let _screen = Screen::open()?;
    let mut before = None;
    for look in 0..count {
        match source.pools().await {
            Ok(pools) => {
                show(&table::draw(&pools, before.as_ref()))?;
                before = Some(pools);
            }
            Err(error) => show(&format!("{error:#}"))?,
        }
        if look + 1 < count && asked_to_stop(pause).await? {
            break;
        }
    }
    Ok(())
}

async fn lines(
    source: &Source,
    pause: Duration,
    count: usize,
    look: impl AsyncFn(&Source) -> Result<String>,
) -> Result<()> {
    for number in 0..count {
        println!("{}", look(source).await?);
        if number + 1 < count {
            tokio::time::sleep(pause).await;
        }
    }
    Ok(())
}

fn show(text: &str) -> Result<()> {
    let mut out = stdout();
    queue!(out, terminal::Clear(terminal::ClearType::All), cursor::MoveTo(0, 0))?;
    // A raw terminal does not go back to the start of the line by itself.
    queue!(out, style::Print(text.replace('\n', "\r\n")), style::Print("\r\n\r\nq to quit\r\n"))?;
    out.flush()?;
    Ok(())
}

/// Waits for the pause to pass, or for a key that ends it.
async fn asked_to_stop(pause: Duration) -> Result<bool> {
    tokio::task::spawn_blocking(move || {
        let until = Instant::now() + pause;
        while event::poll(until.saturating_duration_since(Instant::now()))? {
            if let Event::Key(key) = event::read()? {
                let is_interrupt = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
                if is_interrupt || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    })
    .await?
}

/// The terminal while it is ours; as it was when this is dropped.
struct Screen;

impl Screen {
    fn open() -> Result<Self> {
        terminal::enable_raw_mode()?;
        execute!(stdout(), terminal::EnterAlternateScreen, cursor::Hide)?;
        Ok(Self)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Nothing can be done where the terminal is gone.
        let _ = execute!(stdout(), terminal::LeaveAlternateScreen, cursor::Show);
        let _ = terminal::disable_raw_mode();
    }
}
