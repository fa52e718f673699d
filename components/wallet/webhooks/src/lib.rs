//! `/wallet/{node_id}/webhooks`: a node's endpoints, one of them, and what is done with it.

use duxnet_api::webhooks::{
    CreateWebhook, ReplayWebhook, UpdateWebhook, WEBHOOK_ACTION_FIELDS, parse_deliveries_query,
    parse_webhook_action,
};
use duxnet_edge::{Answer, Call, Context, Failure, serve, webhooks};
use duxnet_store::{NewWebhook, WebhookChange};
use duxnet_wallet::Clock as _;
use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;

#[http_service]
async fn handle(request: Request) -> impl IntoResponse {
    serve(request, async |call| {
        let context = Context::open().await?;
        let (_, last) = call.route().rsplit_once('/').unwrap_or_default();
        match (call.method.as_str(), last) {
            ("GET", "webhooks") => list(call, &context).await,
            ("GET", ":webhook") => show(call, &context).await,
            ("GET", _) => deliveries(call, &context).await,
            ("POST", "webhooks") => create(call, &context).await,
            ("POST", "test") => test(call, &context).await,
            ("POST", "rotate") => rotate(call, &context).await,
            ("POST", _) => replay(call, &context).await,
            ("PATCH", _) => update(call, &context).await,
            _ => delete(call, &context).await,
        }
    })
    .await
}

async fn list(call: &Call, context: &Context) -> Result<Answer, Failure> {
    let wallet = context.own_wallet(call).await?;
    let all = context.webhooks().list(wallet.id).await?;
    Ok(webhooks::listed(&wallet, &all))
}

async fn show(call: &Call, context: &Context) -> Result<Answer, Failure> {
    let wallet = context.own_wallet(call).await?;
    let own = context.webhooks();
    let webhook = own.one(wallet.id, webhooks::id(call)).await?;
    Ok(webhooks::shown(&wallet, 200, &own.shown(webhook).await?))
}

async fn deliveries(call: &Call, context: &Context) -> Result<Answer, Failure> {
    let wallet = context.own_wallet(call).await?;
    let page = parse_deliveries_query(call.query())?;
    let webhook = context
        .webhooks()
        .one(wallet.id, webhooks::id(call))
        .await?;
    let (before, limit) = (page.after, page.limit);
    let found = context
        .store
        .deliveries(webhook.id, before, limit + 1)
        .await?;
    Ok(webhooks::deliveries(&wallet, &webhook, &found, limit))
}

async fn create(call: &Call, context: &Context) -> Result<Answer, Failure> {
    let reach = webhooks::reach().await?;
    let (wallet, caller, wanted) = context
        .change_of(call, &CreateWebhook::FIELDS, |fields, node| {
            CreateWebhook::parse(fields, node, call.idempotency_key(), reach)
        })
        .await?;
    let new = NewWebhook {
        wallet_id: wallet.id,
        url: wanted.url.to_string(),
        event_types: webhooks::stored(&wanted.event_types),
        request_hash: wanted.hash(),
        idempotency_key: caller.idempotency_key(wanted.idempotency_key),
        at: context.clock.now(),
    };
    let made = context.webhooks().create(&new).await?;
    Ok(webhooks::shown(&wallet, 201, &made))
}

async fn update(call: &Call, context: &Context) -> Result<Answer, Failure> {
    let reach = webhooks::reach().await?;
    let (wallet, _, wanted) = context
        .change_of(call, &UpdateWebhook::FIELDS, |fields, node| {
            UpdateWebhook::parse(fields, node, reach)
        })
        .await?;
    let change = WebhookChange {
        url: wanted.url.map(|url| url.to_string()),
        event_types: wanted.event_types.as_deref().map(webhooks::stored),
        enabled: wanted.enabled,
    };
    let id = webhooks::id(call);
    let changed = context.webhooks().update(wallet.id, id, &change).await?;
    Ok(webhooks::shown(&wallet, 200, &changed))
}

async fn delete(call: &Call, context: &Context) -> Result<Answer, Failure> {
    let read = |fields: &_, node: &_| parse_webhook_action(fields, node, None);
    let (wallet, ..) = context.change_of(call, &["node_id"], read).await?;
    let id = webhooks::id(call);
    context.webhooks().delete(wallet.id, id).await?;
    Ok(webhooks::deleted(&wallet, id))
}

async fn test(call: &Call, context: &Context) -> Result<Answer, Failure> {
    let read = |fields: &_, node: &_| parse_webhook_action(fields, node, call.idempotency_key());
    let (wallet, ..) = context
        .change_of(call, &WEBHOOK_ACTION_FIELDS, read)
        .await?;
    let id = webhooks::id(call);
    let (webhook, test) = context.webhooks().test(wallet.id, id).await?;
    Ok(webhooks::tested(&wallet, &webhook, &test))
}

async fn rotate(call: &Call, context: &Context) -> Result<Answer, Failure> {
    let read = |fields: &_, node: &_| parse_webhook_action(fields, node, call.idempotency_key());
    let (wallet, caller, own) = context
        .change_of(call, &WEBHOOK_ACTION_FIELDS, read)
        .await?;
    let key = caller.idempotency_key(own);
    let id = webhooks::id(call);
    let rotated = context
        .webhooks()
        .rotate(wallet.id, id, key.as_ref())
        .await?;
    Ok(webhooks::shown(&wallet, 200, &rotated))
}

async fn replay(call: &Call, context: &Context) -> Result<Answer, Failure> {
    let (wallet, _, wanted) = context
        .change_of(call, &ReplayWebhook::FIELDS, ReplayWebhook::parse)
        .await?;
    let id = webhooks::id(call);
    let taken = context
        .webhooks()
        .replay(wallet.id, id, wanted.from_sequence)
        .await?;
    Ok(webhooks::replayed(&wallet, id, taken))
}
