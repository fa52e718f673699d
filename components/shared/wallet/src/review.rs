//! What operators decide: held payments, frozen wallets, alerts, rules. Each decision is recorded with
//! who, when and why, in the step that carries it out.

use crate::{Clock, Service, WalletError};
use duxnet_store::{
    Action, Alert, AlertFilter, Database, Decided, NewDecision, PaymentState, ReviewedPayment,
    Rule, Wallet,
};
use duxnet_units::NodeId;

/// Who decides, and why.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Word<'a> {
    /// The operator's name.
    pub operator: &'a str,
    /// In the operator's words.
    pub reason: Option<&'a str>,
}

impl<D: Database, C: Clock> Service<'_, D, C> {
    /// Releases or refuses a payment, and shows it as it is then; none when none of that id was ever
    /// held.
    ///
    /// # Errors
    /// Database trouble.
    pub async fn decide_payment(
        &self,
        action: Action,
        payment_id: &str,
        word: Word<'_>,
    ) -> Result<Option<(Decided, ReviewedPayment)>, WalletError> {
        let Some(found) = self.store.reviewed_payment(payment_id).await? else {
            return Ok(None);
        };
        let decided = self
            .store
            .decide(&NewDecision {
                wallet_id: Some(found.payment.wallet_id),
                payment: Some(found.payment.id),
                ..self.decision(action, word)
            })
            .await?;
        let now = self.store.reviewed_payment(payment_id).await?;
        Ok(now.map(|found| {
            // Released, and then refused after all, or dead: a repeat must not sound as if it were made.
            let is_over = action == Action::Release && found.payment.state == PaymentState::Failed;
            let decided = if is_over {
                Decided::Impossible
            } else {
                decided
            };
            (decided, found)
        }))
    }

    /// Freezes a wallet or lets it pay again, and shows it as it is then.
    ///
    /// # Errors
    /// [`WalletError::WalletNotFound`], database trouble.
    pub async fn decide_wallet(
        &self,
        action: Action,
        node_id: &NodeId,
        word: Word<'_>,
    ) -> Result<(Decided, Wallet), WalletError> {
        let wallet = self.wallet(node_id).await?;
        let decided = self
            .store
            .decide(&NewDecision {
                wallet_id: Some(wallet.id),
                ..self.decision(action, word)
            })
            .await?;
        Ok((decided, self.wallet(node_id).await?))
    }

    /// Notes that an operator has looked at an alert; none when there is none of that id.
    ///
    /// # Errors
    /// Database trouble.
    pub async fn acknowledge(
        &self,
        alert: i64,
        word: Word<'_>,
    ) -> Result<Option<(Decided, Alert)>, WalletError> {
        let this = AlertFilter {
            id: Some(alert),
            ..AlertFilter::default()
        };
        if self.store.alerts(&this, 1).await?.is_empty() {
            return Ok(None);
        }
        let decided = self
            .store
            .decide(&NewDecision {
                alert: Some(alert),
                ..self.decision(Action::Acknowledge, word)
            })
            .await?;
        let found = self.store.alerts(&this, 1).await?.into_iter().next();
        Ok(found.map(|alert| (decided, alert)))
    }

    /// Changes a rule, or adds one, and shows it as it is then.
    ///
    /// # Errors
    /// Database trouble.
    pub async fn set_rule(
        &self,
        rule: &Rule,
        word: Word<'_>,
    ) -> Result<(Decided, Rule), WalletError> {
        let decided = self
            .store
            .decide(&NewDecision {
                rule: Some(&rule.name),
                data: Some(rule.to_json()),
                ..self.decision(Action::SetRule, word)
            })
            .await?;
        let rules = self.store.monitor_rules().await?;
        let now = rules.into_iter().find(|known| known.name == rule.name);
        Ok((decided, now.unwrap_or_else(|| rule.clone())))
    }

    fn decision<'a>(&self, action: Action, word: Word<'a>) -> NewDecision<'a> {
        NewDecision {
            action,
            operator: word.operator,
            reason: word.reason,
            wallet_id: None,
            payment: None,
            alert: None,
            rule: None,
            data: None,
            at: self.clock.now(),
        }
    }
}
