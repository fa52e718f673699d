//! Which nodes there are.

use crate::nodes::{self, Node, names};
use crate::{Database, Store, StoreError, Value};
use duxnet_units::{Capability, Match, NodeStatus};

/// Which nodes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DirectoryFilter {
    /// Registered after this row.
    pub after: Option<i64>,
    /// With these capabilities, each once; empty for no matter which.
    pub capabilities: Vec<Capability>,
    /// How many of them.
    pub matching: Match,
    /// Of this status; none: every one that has not left.
    pub status: Option<NodeStatus>,
    /// With at least this health, assessed.
    pub min_health: Option<u32>,
    /// With at least this reputation.
    pub min_reputation: Option<u32>,
}

impl<D: Database> Store<D> {
    /// Nodes in the order of their first registration, which never changes: a page that is asked for
    /// later goes on where the one before ended.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn nodes(
        &self,
        filter: &DirectoryFilter,
        limit: u32,
    ) -> Result<Vec<Node>, StoreError> {
        let mut sql = format!("SELECT {} FROM nodes WHERE id > ?", nodes::COLUMNS);
        let mut parameters: Vec<Value> = vec![filter.after.unwrap_or(0).into()];
        match filter.status {
            None => sql.push_str(" AND status <> 'deregistered'"),
            Some(status) => {
                sql.push_str(" AND status = ?");
                parameters.push(status.name().into());
            }
        }
        for (condition, value) in [
            (" AND health >= ?", filter.min_health),
            (" AND reputation >= ?", filter.min_reputation),
        ] {
            if let Some(value) = value {
                sql.push_str(condition);
                parameters.push(value.into());
            }
        }
        if !filter.capabilities.is_empty() {
            sql.push_str(
                " AND (SELECT COUNT(*) FROM node_capabilities AS c WHERE c.node_id = nodes.node_id
                    AND c.capability IN (SELECT value FROM json_each(?))) >= ?",
            );
            let wanted = match filter.matching {
                Match::All => filter.capabilities.len(),
                Match::Any => 1,
            };
            parameters.push(names(Some(
                filter.capabilities.iter().map(Capability::as_str),
            )));
            parameters.push(u32::try_from(wanted).unwrap_or(u32::MAX).into());
        }
        sql.push_str(" ORDER BY id LIMIT ?");
        parameters.push(limit.into());
        self.database
            .query(&sql, parameters)
            .await?
            .into_iter()
            .map(nodes::read)
            .collect()
    }
}
