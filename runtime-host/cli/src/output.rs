//! What is printed: results on standard output, errors and notes on standard error.

use crate::failure::Failure;
use std::io::{self, Write as _};

/// Where results go, and in which form.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    /// Whether to print JSON as it came.
    pub json: bool,
}

impl Output {
    /// Prints a body as it came when JSON is wanted, else the text.
    pub fn answer(&self, body: &[u8], text: impl FnOnce() -> String) {
        if self.json {
            raw(body);
        } else {
            print(&text());
        }
    }
}

/// Prints text and a line feed. A reader that has gone is no error.
pub fn print(text: &str) {
    raw(text.as_bytes());
}

fn raw(bytes: &[u8]) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(bytes);
    if !bytes.ends_with(b"\n") {
        let _ = out.write_all(b"\n");
    }
    let _ = out.flush();
}

/// Prints a line about what goes on.
pub fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "note: {text}");
}

/// Prints a failure.
pub fn report(failure: &Failure, json: bool) {
    if let Some(body) = failure
        .body
        .as_ref()
        .filter(|body| json && !body.is_empty())
    {
        raw(body);
    }
    let mut err = io::stderr().lock();
    let _ = writeln!(err, "error: {}", failure.message);
    for hint in &failure.hints {
        let _ = writeln!(err, "hint: {hint}");
    }
}

/// Text without anything that a terminal would obey.
#[must_use]
pub fn printable(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            // Control characters, and those that turn the direction of writing.
            let is_safe = !c.is_control()
                && !('\u{202a}'..='\u{202e}').contains(&c)
                && !('\u{2066}'..='\u{2069}').contains(&c);
            let escaped = (!is_safe).then(|| c.escape_default());
            is_safe
                .then_some(c)
                .into_iter()
                .chain(escaped.into_iter().flatten())
        })
        .collect()
}

/// Names and values in two columns.
#[must_use]
pub fn pairs(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let lines: Vec<String> = rows
        .iter()
        .map(|(name, value)| format!("{name:width$}  {value}"))
        .collect();
    lines.join("\n")
}

/// How a column stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// A table with a heading.
#[must_use]
pub fn table(columns: &[(&str, Align)], rows: &[Vec<String>]) -> String {
    let heading = columns.iter().map(|(name, _)| (*name).to_owned()).collect();
    let all: Vec<&Vec<String>> = std::iter::once(&heading).chain(rows).collect();
    let width = |column: usize| {
        all.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells: Vec<String> = row
            .iter()
            .zip(columns)
            .zip(&widths)
            .map(|((cell, (_, align)), width)| match align {
                Align::Left => format!("{cell:<width$}"),
                Align::Right => format!("{cell:>width$}"),
            })
            .collect();
        cells.join("  ").trim_end().to_owned()
    };
    all.into_iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_each_other() {
        let rows = [
            vec!["a".to_owned(), "1.0".to_owned()],
            vec!["bcd".to_owned(), "10.25".to_owned()],
        ];
        assert_eq!(
            table(&[("name", Align::Left), ("sum", Align::Right)], &rows),
            "name    sum\na       1.0\nbcd   10.25"
        );
        assert_eq!(
            pairs(&[("a", "1".into()), ("long", "2".into())]),
            "a     1\nlong  2"
        );
    }

    #[test]
    fn a_terminal_is_not_given_orders() {
        assert_eq!(
            printable("a\u{1b}[2J\r\u{202e}ä"),
            "a\\u{1b}[2J\\r\\u{202e}ä"
        );
    }
}
