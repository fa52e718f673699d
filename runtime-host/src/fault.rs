//! Misconfiguration, told as whole lines.
//!
//! Everything that can be wrong before the first request is a [`Faults`]: one
//! line per fault, each naming where it is and how it is mended, so that an
//! operator corrects all of them in one round.

use std::fmt;

/// One or more faults of configuration, each a complete line without a newline
/// at its end.
///
/// The process prints every line with `error: ` before it and exits with
/// [`EXIT_MISCONFIGURED`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults(Vec<String>);

/// The exit code for a misconfiguration.
pub const EXIT_MISCONFIGURED: u8 = 2;

/// Shorthand for results that may be [`Faults`].
pub type Result<T, E = Faults> = std::result::Result<T, E>;

impl Faults {
    /// A single fault.
    pub fn one(line: impl fmt::Display) -> Self {
        Self(vec![one_line(&line.to_string())])
    }

    /// One fault for each of `lines`, of which there must be one.
    pub fn several(lines: impl IntoIterator<Item = String>) -> Self {
        Self(lines.into_iter().map(|line| one_line(&line)).collect())
    }

    /// The lines, in the order in which they were found.
    pub fn lines(&self) -> &[String] {
        &self.0
    }

    /// Puts `prefix` before every line.
    pub fn prefixed(self, prefix: impl fmt::Display) -> Self {
        Self(
            self.0
                .into_iter()
                .map(|line| format!("{prefix}{line}"))
                .collect(),
        )
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for Faults {}

/// Gathers faults while a check goes on, so that all are told at once.
#[derive(Debug, Default)]
pub struct Collector(Vec<String>);

impl Collector {
    /// Notes one fault.
    pub fn push(&mut self, line: impl fmt::Display) {
        self.0.push(one_line(&line.to_string()));
    }

    /// Keeps the value of `result`, or notes its faults and gives `None`.
    pub fn keep<T>(&mut self, result: Result<T>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(faults) => {
                self.0.extend(faults.0);
                None
            }
        }
    }

    /// # Errors
    ///
    /// All faults noted so far, if there are any.
    pub fn finish(self) -> Result<()> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(Faults(self.0))
        }
    }

    /// Like [`finish`](Self::finish), handing `value` on when nothing is wrong.
    ///
    /// # Errors
    ///
    /// All faults noted so far, if there are any.
    pub fn finish_with<T>(self, value: T) -> Result<T> {
        self.finish().map(|()| value)
    }
}

/// Joins a message of several lines into one, so that a fault stays greppable.
fn one_line(message: &str) -> String {
    message
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_faults_are_kept_in_order_and_on_one_line_each() {
        let mut faults = Collector::default();
        faults.push("first\n  continued");
        assert_eq!(faults.keep(Ok(1)), Some(1));
        assert_eq!(faults.keep::<()>(Err(Faults::one("second"))), None);
        let faults = faults.finish().unwrap_err();
        assert_eq!(faults.lines(), ["first; continued", "second"]);
        assert_eq!(faults.prefixed("a: ").lines()[1], "a: second");
    }
}
