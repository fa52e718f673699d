//! Tokens: of the background work, of operators, of whoever reads the metrics. A secret's value is
//! never told.

use crate::check::{Checker, Variables, text};

/// The variables of this group.
pub const NAMES: [&str; 4] = [
    TRACKER_TOKEN,
    OPERATOR_TOKENS,
    METRICS_TOKEN,
    METRICS_PER_NODE,
];
/// What a caller of the internal routes must know.
const TRACKER_TOKEN: &str = "tracker_token";
/// Who may use the operator's routes.
const OPERATOR_TOKENS: &str = "operator_tokens";
/// What a reader of the metrics must know.
const METRICS_TOKEN: &str = "metrics_token";
const METRICS_PER_NODE: &str = "metrics_per_node";
/// Fewer could be guessed.
const MIN_TOKEN_CHARACTERS: usize = 16;
/// Longest name of an operator, bytes.
const MAX_NAME_BYTES: usize = 64;

/// Someone who may use the operator's routes.
#[derive(Clone, PartialEq, Eq)]
pub struct Operator {
    /// What is recorded as who did it.
    pub name: String,
    /// What proves it.
    pub token: String,
}

/// Never shows the token.
impl std::fmt::Debug for Operator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Operator")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// The token of the internal routes; none when it is not set, or not valid.
#[must_use]
pub fn tracker_token(variables: &Variables) -> Option<&str> {
    text(variables, TRACKER_TOKEN).filter(|token| is_token(token))
}

/// The token of the metrics; none when it is not set, or not valid.
#[must_use]
pub fn metrics_token(variables: &Variables) -> Option<&str> {
    text(variables, METRICS_TOKEN).filter(|token| is_token(token))
}

/// Whether metrics may have a label for each node.
#[must_use]
pub fn metrics_per_node(variables: &Variables) -> bool {
    text(variables, METRICS_PER_NODE) == Some("true")
}

/// The operators of `name=token, name=token`; none at all when one is not valid.
#[must_use]
pub fn operators(variables: &Variables) -> Vec<Operator> {
    text(variables, OPERATOR_TOKENS)
        .and_then(parse_operators)
        .unwrap_or_default()
}

fn parse_operators(text: &str) -> Option<Vec<Operator>> {
    let mut operators: Vec<Operator> = Vec::new();
    for entry in text.split(',') {
        let (name, token) = entry.trim().split_once('=')?;
        let is_name = |b: u8| b.is_ascii_alphanumeric() || b"._@-".contains(&b);
        let is_named =
            !name.is_empty() && name.len() <= MAX_NAME_BYTES && name.bytes().all(is_name);
        if !is_named
            || !is_token(token)
            || operators.iter().any(|o| o.name == name || o.token == token)
        {
            return None;
        }
        operators.push(Operator {
            name: name.to_owned(),
            token: token.to_owned(),
        });
    }
    Some(operators)
}

/// It goes into a header, and between commas.
fn is_token(token: &str) -> bool {
    token.len() >= MIN_TOKEN_CHARACTERS && token.bytes().all(|b| b.is_ascii_graphic() && b != b',')
}

/// Every fault of the group.
#[must_use]
pub fn faults(variables: &Variables) -> Vec<String> {
    let mut checker = Checker::new(variables);
    for (name, is_valid) in [
        (TRACKER_TOKEN, tracker_token(variables).is_some()),
        (METRICS_TOKEN, metrics_token(variables).is_some()),
    ] {
        if checker.text(name).is_some() && !is_valid {
            checker.faults.push(format!(
                "{name} is not valid; allowed: none, or at least {MIN_TOKEN_CHARACTERS} visible ASCII characters without a comma"
            ));
        }
    }
    if checker
        .text(OPERATOR_TOKENS)
        .is_some_and(|text| parse_operators(text).is_none())
    {
        checker.faults.push(format!(
            "{OPERATOR_TOKENS} is not valid; allowed: none, or name=token separated by commas, each name (A-Z a-z 0-9 . _ @ -) and token (at least {MIN_TOKEN_CHARACTERS} visible ASCII characters) once"
        ));
    }
    checker.value(METRICS_PER_NODE, "true, false", |text| {
        text.parse::<bool>().ok()
    });
    checker.faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &'static str, value: &str) -> Variables {
        let mut variables = Variables::from([(METRICS_PER_NODE, "false".to_owned())]);
        variables.insert(name, value.to_owned());
        variables
    }

    #[test]
    fn a_token_is_none_while_unset_or_too_easy() {
        for name in [TRACKER_TOKEN, METRICS_TOKEN] {
            for (value, expected) in [
                ("", None),
                ("short", None),
                ("0123456789abcd\u{e9}", None),
                (" 0123456789abcdef\n", Some("0123456789abcdef")),
            ] {
                let variables = with(name, value);
                let found = [tracker_token(&variables), metrics_token(&variables)];
                assert_eq!(
                    found.into_iter().flatten().next(),
                    expected,
                    "{name}={value}"
                );
                let is_fault = !value.is_empty() && expected.is_none();
                assert_eq!(
                    faults(&variables).len(),
                    usize::from(is_fault),
                    "{name}={value}"
                );
            }
        }
    }

    #[test]
    fn operators_have_a_name_and_a_token_each() {
        let two = operators(&with(
            OPERATOR_TOKENS,
            "alice=0123456789abcdef, bob=fedcba9876543210",
        ));
        let names: Vec<&str> = two.iter().map(|o| o.name.as_str()).collect();
        assert_eq!(names, ["alice", "bob"]);
        for bad in [
            "alice",
            "alice=short",
            "=0123456789abcdef",
            "a b=0123456789abcdef",
            "alice=0123456789abcdef,",
            "alice=0123456789abcdef,alice=0123456789abcdeg",
            "alice=0123456789abcdef,bob=0123456789abcdef",
        ] {
            let variables = with(OPERATOR_TOKENS, bad);
            assert!(operators(&variables).is_empty(), "{bad}");
            assert_eq!(faults(&variables).len(), 1, "{bad}");
        }
        assert!(operators(&with(OPERATOR_TOKENS, "")).is_empty());
    }

    #[test]
    fn a_secret_is_never_told() {
        for name in [TRACKER_TOKEN, OPERATOR_TOKENS, METRICS_TOKEN] {
            let told = faults(&with(name, "too=s3cret")).join("\n");
            assert!(told.starts_with(name) && !told.contains("s3cret"), "{told}");
        }
        let one = operators(&with(OPERATOR_TOKENS, "alice=0123456789abcdef"));
        assert!(!format!("{one:?}").contains("0123"));
    }
}
