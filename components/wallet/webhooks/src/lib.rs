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
            ("POST", "test" | "rotate") | ("DELETE", _) => act(call, &context, last).await,
            ("PATCH", _) => update(call, &context).await,
            _ => replay(call, &context).await,
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
    let (wallet, caller, fields) = context.change_of(call, &CreateWebhook::FIELDS).await?;
    let (key, reach) = (call.idempotency_key(), webhooks::reach().await?);
    let wanted = CreateWebhook::parse(&fields, &wallet.node_id, key, reach)?;
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
    let (wallet, _, fields) = context.change_of(call, &UpdateWebhook::FIELDS).await?;
    let wanted = UpdateWebhook::parse(&fields, &wallet.node_id, webhooks::reach().await?)?;
    let change = WebhookChange {
        url: wanted.url.map(|url| url.to_string()),
        event_types: wanted.event_types.as_deref().map(webhooks::stored),
        enabled: wanted.enabled,
    };
    let id = webhooks::id(call);
    let changed = context.webhooks().update(wallet.id, id, &change).await?;
    Ok(webhooks::shown(&wallet, 200, &changed))
}

/// What asks for nothing but itself: delete, test, rotate.
async fn act(call: &Call, context: &Context, action: &str) -> Result<Answer, Failure> {
    let (wallet, caller, fields) = context.change_of(call, &WEBHOOK_ACTION_FIELDS).await?;
    let own = parse_webhook_action(&fields, &wallet.node_id, call.idempotency_key())?;
    let (all, id) = (context.webhooks(), webhooks::id(call));
    Ok(match action {
        "test" => {
            let (webhook, test) = all.test(wallet.id, id).await?;
            webhooks::tested(&wallet, &webhook, &test)
        }
        "rotate" => {
            let key = caller.idempotency_key(own);
            let rotated = all.rotate(wallet.id, id, key.as_ref()).await?;
            webhooks::shown(&wallet, 200, &rotated)
        }
        _ => {
            all.delete(wallet.id, id).await?;
            webhooks::deleted(&wallet, id)
        }
    })
}

async fn replay(call: &Call, context: &Context) -> Result<Answer, Failure> {
    let (wallet, _, fields) = context.change_of(call, &ReplayWebhook::FIELDS).await?;
    let wanted = ReplayWebhook::parse(&fields, &wallet.node_id)?;
    let id = webhooks::id(call);
    let taken = context
        .webhooks()
        .replay(wallet.id, id, wanted.from_sequence)
        .await?;
    Ok(webhooks::replayed(&wallet, id, taken))
}
