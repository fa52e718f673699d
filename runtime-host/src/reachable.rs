//! Whether a server that holds state is there.

/// What a server said when it was asked at start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reachable {
    /// It answers.
    Yes,
    /// It does not at the moment; why.
    NotNow(String),
    /// It refuses, and will go on to; why.
    Never(String),
}
