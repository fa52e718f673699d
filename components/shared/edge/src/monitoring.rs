//! Operators' decisions and a wallet's recipients: from requests, and into bodies of the contract.

use crate::{Answer, Call, Context, Failure, render};
use duxnet_api::cursor;
use duxnet_api::monitoring::{
    self as api, Acknowledged, AlertsQuery, ChangeRecipients, Json, Loosening, Reason, ReviewQuery,
    SetRule,
};
use duxnet_api::problem::{Code, Problem};
use duxnet_api::request::{Page, parse_transaction_id};
use duxnet_api::response::{Flop, Florins, Time};
use duxnet_registry::recipients::Wish;
use duxnet_store::{
    Action, Alert, AlertFilter, Decided, Decision, PaymentState, RecipientList, RecipientPolicy,
    ReviewedPayment, Rule,
};
use duxnet_units::{Address, AddressError, Network, NodeId};
use duxnet_wallet::Clock as _;
use duxnet_wallet::review::Word;

const ALERT_PARAMETER: &str = "alert";
const PAYMENT_PARAMETER: &str = "payment";
const RULE_PARAMETER: &str = "rule";

/// What a rule, a payment or a wallet must be for a decision about it.
fn possible(decided: Decided, what: &str) -> Result<bool, Problem> {
    match decided {
        Decided::Done => Ok(false),
        Decided::Already => Ok(true),
        Decided::Impossible | Decided::TooMany => {
            Err(Problem::new(Code::PaymentNotHeld).detail(what))
        }
    }
}

fn parameter<'a>(call: &'a Call, name: &str) -> Result<&'a str, Problem> {
    call.parameter(name)
        .ok_or_else(|| Problem::new(Code::NotFound))
}

fn more<T>(rows: &mut Vec<T>, page: &Page, id: impl Fn(&T) -> i64) -> Option<String> {
    let has_more = rows.len() > page.limit as usize;
    rows.truncate(page.limit as usize);
    rows.last()
        .filter(|_| has_more)
        .map(|row| cursor::encode(id(row)))
}

/// `POST /operator/...`: one decision, by the last word of the path.
///
/// # Errors
/// What the decision meets.
pub async fn decide(call: &Call, context: &Context, operator: &str) -> Result<Answer, Failure> {
    let service = context.service();
    let last = call.path().rsplit('/').next().unwrap_or_default();
    let action = match last {
        "release" => Action::Release,
        "refuse" => Action::Refuse,
        "freeze" => Action::Freeze,
        "unfreeze" => Action::Unfreeze,
        _ => Action::Acknowledge,
    };
    let (name, is_required) = match action {
        Action::Acknowledge => ("note", false),
        Action::Release | Action::Refuse | Action::Freeze | Action::Unfreeze | Action::SetRule => {
            ("reason", true)
        }
    };
    let reason = Reason::parse(&call.fields(&Reason::FIELDS)?, name, is_required)?.0;
    let word = Word {
        operator,
        reason: reason.as_deref(),
    };
    match action {
        Action::Release | Action::Refuse => {
            let id = parse_transaction_id(parameter(call, PAYMENT_PARAMETER)?)?;
            let (decided, payment) = service
                .decide_payment(action, &id, word)
                .await?
                .ok_or_else(|| Problem::new(Code::PaymentNotFound))?;
            let state = payment.payment.state.name();
            let replayed = possible(decided, &format!("the payment is {state}"))?;
            Ok(Answer::ok(&api::OneReviewed {
                success: true,
                payment: reviewed(&payment),
            })
            .replayed(replayed))
        }
        Action::Freeze | Action::Unfreeze => {
            let (decided, wallet) = service
                .decide_wallet(action, &call.node_id()?, word)
                .await?;
            Ok(Answer::ok(&api::Frozen {
                success: true,
                node_id: wallet.node_id.to_string(),
                frozen: wallet.frozen.is_some(),
                reason: wallet.frozen,
            })
            .replayed(decided == Decided::Already))
        }
        Action::Acknowledge | Action::SetRule => {
            let id = api::parse_alert_id(parameter(call, ALERT_PARAMETER)?)?;
            let (decided, found) = service
                .acknowledge(id, word)
                .await?
                .ok_or_else(|| Problem::new(Code::AlertNotFound))?;
            Ok(Answer::ok(&api::OneAlert {
                success: true,
                alert: alert(found),
            })
            .replayed(decided == Decided::Already))
        }
    }
}

/// `PUT /operator/rules/{rule}`.
///
/// # Errors
/// 422 for a rule that cannot be so.
pub async fn set_rule(call: &Call, context: &Context, operator: &str) -> Result<Answer, Failure> {
    let name = api::parse_rule_name(parameter(call, RULE_PARAMETER)?)?;
    let wanted = SetRule::parse(&call.fields(&SetRule::FIELDS)?)?;
    let word = Word {
        operator,
        reason: wanted.reason.as_deref(),
    };
    let wish = Rule {
        name,
        kind: wanted.kind,
        enabled: wanted.enabled,
        severity: wanted.severity,
        action: wanted.action,
        window_seconds: wanted.window_seconds,
        threshold_count: wanted.threshold_count,
        threshold_share: wanted.threshold_share,
        threshold_amount: wanted.threshold_amount,
        updated_at: context.clock.now(),
    };
    let (decided, found) = context.service().set_rule(&wish, word).await?;
    match decided {
        Decided::Done | Decided::Already => Ok(Answer::ok(&api::OneRule {
            success: true,
            rule: rule(found),
        })),
        Decided::Impossible => {
            Err(Problem::invalid_value(format!("kind: the rule is of kind {}", found.kind)).into())
        }
        Decided::TooMany => {
            Err(Problem::invalid_value("rule: there are as many rules as there may be").into())
        }
    }
}

/// `GET /operator/alerts`, `/operator/payments`, `/operator/decisions`, `/operator/rules`.
///
/// # Errors
/// 400 or 422 for a query that cannot be read.
pub async fn list(call: &Call, context: &Context) -> Result<Answer, Failure> {
    let store = &context.store;
    match call.path() {
        "/operator/alerts" => {
            let query = AlertsQuery::parse(call.query())?;
            let filter = AlertFilter {
                before: query.page.after,
                id: None,
                rule: query.rule,
                severity: query.severity,
                action: query.action,
                node_id: query.node_id,
                open: query.open,
            };
            let mut rows = store.alerts(&filter, query.page.limit + 1).await?;
            Ok(Answer::ok(&api::Alerts {
                success: true,
                next_cursor: more(&mut rows, &query.page, |row| row.id),
                alerts: rows.into_iter().map(alert).collect(),
            }))
        }
        "/operator/payments" => {
            let query = ReviewQuery::parse(call.query(), true)?;
            let state = query.state.as_deref().and_then(PaymentState::from_name);
            let node = query.node_id.as_ref().map(NodeId::as_str);
            let mut rows = store
                .reviewed_payments(query.page.after, state, node, query.page.limit + 1)
                .await?;
            Ok(Answer::ok(&api::ReviewedPayments {
                success: true,
                next_cursor: more(&mut rows, &query.page, |row| row.payment.id),
                payments: rows.iter().map(reviewed).collect(),
            }))
        }
        "/operator/decisions" => {
            let query = ReviewQuery::parse(call.query(), false)?;
            let node = query.node_id.as_ref().map(NodeId::as_str);
            let mut rows = store
                .decisions(query.page.after, node, query.page.limit + 1)
                .await?;
            Ok(Answer::ok(&api::Decisions {
                success: true,
                next_cursor: more(&mut rows, &query.page, |row| row.id),
                decisions: rows.into_iter().map(decision).collect(),
            }))
        }
        _ => {
            duxnet_api::request::expect_no_query(call.query())?;
            let rules = store.monitor_rules().await?;
            Ok(Answer::ok(&api::Rules {
                success: true,
                rules: rules.into_iter().map(rule).collect(),
            }))
        }
    }
}

fn alert(alert: Alert) -> api::Alert {
    api::Alert {
        id: alert.id,
        rule: alert.rule,
        severity: alert.severity,
        action: alert.action,
        node_id: alert.node_id,
        payment_id: alert.payment_id,
        figures: Json::of(&alert.figures),
        created_at: Time(alert.at),
        acknowledged: alert.acknowledged.map(|(operator, note, at)| Acknowledged {
            operator,
            note,
            at: Time(at),
        }),
    }
}

fn reviewed(reviewed: &ReviewedPayment) -> api::Reviewed {
    api::Reviewed {
        node_id: reviewed.payment.node_id.to_string(),
        payment: render::payment(&reviewed.payment),
        alerts: Json::of(&reviewed.alerts),
        decisions: Json::of(&reviewed.decisions),
    }
}

fn decision(decision: Decision) -> api::Decision {
    api::Decision {
        id: decision.id,
        action: decision.action.name(),
        operator: decision.operator,
        reason: decision.reason,
        node_id: decision.node_id,
        payment_id: decision.payment_id,
        alert: decision.alert,
        rule: decision.rule,
        data: decision.data.as_deref().and_then(Json::of),
        created_at: Time(decision.at),
    }
}

fn rule(rule: Rule) -> api::Rule {
    api::Rule {
        name: rule.name,
        kind: rule.kind,
        enabled: rule.enabled,
        severity: rule.severity,
        action: rule.action,
        window_seconds: rule.window_seconds,
        threshold_count: rule.threshold_count,
        threshold_share: rule.threshold_share,
        threshold_amount: rule.threshold_amount.map(Flop),
        threshold_amount_florins: rule.threshold_amount.map(Florins),
        updated_at: Some(rule.updated_at)
            .filter(|at| at.unix_seconds() > 0)
            .map(Time),
    }
}

/// `GET` and `POST /wallet/{node_id}/recipients`.
///
/// # Errors
/// 401, 403, 404, and 422 for what is no address.
pub async fn recipients(call: &Call, context: &Context) -> Result<Answer, Failure> {
    let node = call.node_id()?;
    if call.method == "GET" {
        duxnet_api::request::expect_no_query(call.query())?;
        context.authenticate_read(call, &node).await?;
        return context
            .on_registry(async |registry| {
                let policy = registry.recipients(&node).await?;
                Ok(policy_body(
                    &node,
                    &policy,
                    registry.clock.now().unix_seconds(),
                    registry.rules.recipient_policy_delay,
                ))
            })
            .await;
    }
    let fields = call.fields(&ChangeRecipients::FIELDS)?;
    let authenticated = context.authenticate(call, &node, Some(&fields)).await?;
    let network = context.settings.policy.network;
    let read = ChangeRecipients::parse(&fields, &node, call.idempotency_key())
        .and_then(|wanted| wish(&wanted, network));
    let wish = context.wanted(&authenticated, read).await?;
    let answer = context
        .on_registry(async |registry| {
            let policy = registry
                .change_recipients(&authenticated.caller, wish)
                .await?;
            let now = registry.clock.now().unix_seconds();
            let delay = registry.rules.recipient_policy_delay;
            Ok(policy.map(|policy| policy_body(&node, &policy, now, delay)))
        })
        .await?;
    answer.ok_or_else(|| {
        Problem::invalid_value("a wallet's lists have at most 500 entries together").into()
    })
}

fn wish(wanted: &ChangeRecipients, network: Network) -> Result<Wish, Problem> {
    let addresses = |texts: &[String]| {
        texts
            .iter()
            .map(|text| {
                Address::parse(text, network).map_err(|error: AddressError| {
                    Problem::new(Code::InvalidAddress).detail(format!("{text:?} is {error}"))
                })
            })
            .collect::<Result<Vec<_>, _>>()
    };
    Ok(Wish {
        allow: addresses(&wanted.allow)?,
        deny: addresses(&wanted.deny)?,
        remove: addresses(&wanted.remove)?,
        whitelist_only: wanted.whitelist_only,
    })
}

fn policy_body(node: &NodeId, policy: &RecipientPolicy, now: i64, delay: u32) -> Answer {
    let mut body = api::Recipients {
        success: true,
        node_id: node.to_string(),
        whitelist_only: policy.whitelist_only,
        allow: Vec::new(),
        deny: Vec::new(),
        pending: Vec::new(),
        delay_seconds: delay,
    };
    if let Some(at) = policy.whitelist_ends_at {
        body.pending.push(Loosening {
            change: "end_of_whitelist_only",
            address: None,
            at: Time(at),
        });
    }
    for recipient in &policy.recipients {
        let address = recipient.address.clone();
        let (change, at) = match recipient.list {
            RecipientList::Allow if recipient.starts_at.unix_seconds() <= now => {
                body.allow.push(address);
                continue;
            }
            RecipientList::Allow => ("allow", Some(recipient.starts_at)),
            RecipientList::Deny => {
                body.deny.push(address.clone());
                ("end_of_deny", recipient.ends_at)
            }
        };
        body.pending.extend(at.map(|at| Loosening {
            change,
            address: Some(address),
            at: Time(at),
        }));
    }
    Answer::ok(&body)
}
