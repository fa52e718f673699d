//! What a component may use of what there is, by name.

use std::collections::BTreeMap;

/// The databases, or the stores, that one component may open.
#[derive(Debug)]
pub struct Granted<T>(BTreeMap<String, T>);

impl<T> Default for Granted<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T: Clone> Granted<T> {
    /// Those of `names` among the `existing`.
    ///
    /// # Errors
    ///
    /// The names for which there is none.
    pub fn of(names: &[String], existing: &BTreeMap<String, T>) -> Result<Self, Vec<String>> {
        let (known, unknown): (Vec<_>, Vec<_>) = names
            .iter()
            .cloned()
            .partition(|name| existing.contains_key(name));
        if !unknown.is_empty() {
            return Err(unknown);
        }
        let granted = known
            .into_iter()
            .filter_map(|name| Some((name.clone(), existing.get(&name)?.clone())));
        Ok(Self(granted.collect()))
    }

    /// The one of this name, if the component may open it.
    pub fn get(&self, name: &str) -> Option<&T> {
        self.0.get(name)
    }
}
