//! Webhooks: where they may point, and what signs them.

use crate::check::{Checker, Variables, text};

/// The variables of this group.
pub const NAMES: [&str; 2] = ["private_networks", WEBHOOK_KEY];
/// 32 bytes, hex: every endpoint's key is derived from it.
pub const WEBHOOK_KEY: &str = "webhook_key";

/// Settings that passed every check.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Notifications {
    /// Whether webhooks may point into private networks and be plain http.
    pub private_networks: bool,
}

/// Checks the group, but for the key, which is another component's.
///
/// # Errors
/// One line per fault.
pub fn notifications(variables: &Variables) -> Result<Notifications, Vec<String>> {
    let mut checker = Checker::new(variables);
    let private_networks = checker.value("private_networks", "deny, allow", |text| match text {
        "deny" => Some(false),
        "allow" => Some(true),
        _ => None,
    });
    let read = private_networks.map(|private_networks| Notifications { private_networks });
    checker.finish(read)
}

/// Whether this is a key: 32 bytes as 64 hexadecimal digits.
#[must_use]
pub fn is_key(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// The fault of a key that is set and none; its value is never told.
#[must_use]
pub fn key_fault(variables: &Variables, name: &str) -> Option<String> {
    text(variables, name)
        .filter(|key| !is_key(key))
        .map(|_| format!("{name} is not valid; allowed: none, or 64 hexadecimal digits"))
}

/// Every fault of the group.
#[must_use]
pub fn faults(variables: &Variables) -> Vec<String> {
    let mut faults = notifications(variables).err().unwrap_or_default();
    faults.extend(key_fault(variables, WEBHOOK_KEY));
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_64_digits_and_never_told() {
        let faults = |network: &str, key: &str| {
            faults(&Variables::from([
                ("private_networks", network.to_owned()),
                (WEBHOOK_KEY, key.to_owned()),
            ]))
        };
        assert!(faults("deny", "").is_empty());
        assert!(faults("allow", &"0a".repeat(32)).is_empty());
        assert_eq!(faults("perhaps", "s3cret").len(), 2);
        assert!(!faults("deny", "s3cret").join("").contains("s3cret"));
    }
}
