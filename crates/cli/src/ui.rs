//! Output on the terminal: colours, notes and tables.

use clap::builder::styling::{AnsiColor, Style};
use std::{
    fmt::Display,
    io::{self, IsTerminal, Write},
};

/// Marks drafted and accepted text.
const DRAFTED: Style = AnsiColor::Green.on_default().underline();
const ERROR: Style = AnsiColor::Red.on_default().bold();
const FAINT: Style = Style::new().dimmed();

/// Whether a stream shows colours: a terminal, unless NO_COLOR is set (no-color.org).
pub(crate) fn shows_colour(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

fn paint(style: Style, text: &str, colour: bool) -> String {
    if colour { format!("{style}{text}{style:#}") } else { text.to_owned() }
}

/// Text that the device drafted and the model agreed with.
pub(crate) fn drafted(text: &str, colour: bool) -> String {
    paint(DRAFTED, text, colour)
}

/// Text of lesser importance.
pub(crate) fn faint(text: &str, colour: bool) -> String {
    paint(FAINT, text, colour)
}

/// An error as one line for standard error; what a cloud put into it must not move the cursor.
pub(crate) fn error_line(error: &impl Display) -> String {
    let colour = shows_colour(&std::io::stderr());
    format!(
        "{} {}",
        paint(ERROR, "error:", colour),
        error.to_string().replace(char::is_control, " ")
    )
}

/// Writes to standard error what a person may like to know; that nobody listens there is no reason
/// to stop.
pub(crate) fn note(text: impl Display) {
    let _ = write!(io::stderr().lock(), "{text}");
}

/// Writes to standard output; a reader that is gone is an error here, where `print!` would panic.
pub(crate) fn print(text: impl Display) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    write!(stdout, "{text}")?;
    stdout.flush()
}

/// Rows of label and value, aligned.
pub(crate) fn table(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(label, _)| label.chars().count()).max().unwrap_or_default();
    rows.iter().map(|(label, value)| format!("  {label:<width$}  {value}\n")).collect()
}

/// Bytes with a unit that suits them.
pub(crate) fn bytes(count: usize) -> String {
    indicatif::HumanBytes(count as u64).to_string()
}
