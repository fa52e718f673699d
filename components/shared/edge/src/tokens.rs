//! Who asks without being a node: by a bearer token.

use crate::Call;
use crate::bindings::duxnet::config::operator;
use duxnet_api::access::Identity;
use duxnet_api::problem::Problem;

/// An operator, known by name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Operator {
    /// What is recorded as who did it.
    pub name: String,
}

/// Checks that the schedule of the background work asks.
///
/// # Errors
/// 401.
pub async fn scheduler(call: &Call) -> Result<(), Problem> {
    let token = operator::tracker_token().await;
    if !token.is_some_and(|token| call.has_token(&token)) {
        return Err(Problem::authentication(
            "Authorization must be Bearer and the tracker_token",
        ));
    }
    call.prove(Identity::Scheduler)
}

/// Checks that an operator asks, and says which.
///
/// # Errors
/// 401.
pub async fn operator(call: &Call) -> Result<Operator, Problem> {
    let known = operator::operators().await;
    let found = known.into_iter().find(|known| call.has_token(&known.token));
    let Some(found) = found else {
        return Err(Problem::authentication(
            "Authorization must be Bearer and a token of operator_tokens",
        ));
    };
    call.prove(Identity::Operator)?;
    Ok(Operator { name: found.name })
}

/// Checks that a reader of the metrics asks; true when they may have a label for each node.
///
/// # Errors
/// 401.
pub async fn monitor(call: &Call) -> Result<bool, Problem> {
    let access = operator::metrics().await;
    if !access.token.is_some_and(|token| call.has_token(&token)) {
        return Err(Problem::authentication(
            "Authorization must be Bearer and the metrics_token",
        ));
    }
    call.prove(Identity::Monitor)?;
    Ok(access.per_node)
}
