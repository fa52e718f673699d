//! Why a command did not succeed, and the exit code that says so.

/// The exit codes; `duxwallet --help` lists them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    /// The service, or the devnet, said no.
    Refused,
    /// The command line or the key file is at fault; nothing was sent.
    Usage,
    /// Nobody answered, and nothing can have happened.
    Unreachable,
    /// Something may have happened; only a repeat with the same idempotency key tells.
    Unknown,
}

impl Exit {
    /// The process's exit code.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Exit::Refused => 1,
            Exit::Usage => 2,
            Exit::Unreachable => 3,
            Exit::Unknown => 4,
        }
    }
}

/// One failure: a line, and what to do about it.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// One line, without `error:`.
    pub message: String,
    /// Lines that say what to do.
    pub hints: Vec<String>,
    /// Whether the same request may yet pass.
    pub is_repeatable: bool,
    /// The service's body, for `--json`.
    pub body: Option<Vec<u8>>,
}

impl Failure {
    /// A failure without hints.
    #[must_use]
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Failure {
            exit,
            message: message.into(),
            hints: Vec::new(),
            is_repeatable: matches!(exit, Exit::Unreachable | Exit::Unknown),
            body: None,
        }
    }

    /// The command line or the key file is at fault.
    #[must_use]
    pub fn usage(message: impl Into<String>) -> Self {
        Failure::new(Exit::Usage, message)
    }

    /// Adds a line that says what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Adds the service's body.
    #[must_use]
    pub fn body(mut self, body: &[u8]) -> Self {
        self.body = Some(body.to_vec());
        self
    }
}
