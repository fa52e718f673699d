//! The background work around the wallets, as part of the tracker's run: bounded, safe to repeat and
//! safe to run twice at once. It needs no chain.

use crate::{Registry, RegistryError};
use duxnet_store::Database;
use duxnet_wallet::Clock;

/// What one run did.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Report {
    /// What went wrong; the rest is done all the same.
    pub troubles: Vec<String>,
}

impl<D: Database, C: Clock> Registry<'_, D, C> {
    /// One run. What fails is in the report, and the next run's again.
    pub async fn tick(&self) -> Report {
        let mut report = Report::default();
        let steps: [(&str, Result<(), RegistryError>); 5] = [
            ("status of nodes", self.age_nodes().await),
            ("reputation", self.rate_by_payments().await),
            ("health of nodes", self.assess_nodes().await),
            ("monitoring", self.watch().await),
            ("webhooks", self.forget_deliveries().await),
        ];
        for (what, result) in steps {
            if let Err(error) = result {
                report.troubles.push(format!("{what}: {error}"));
            }
        }
        report
    }
}
