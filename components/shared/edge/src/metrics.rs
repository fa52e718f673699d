//! The service's figures in Prometheus' text format.

use crate::Answer;
use crate::clock::SystemClock;
use crate::database::SpinDatabase;
use duxnet_store::{Sample, Store, StoreError};
use duxnet_wallet::Clock as _;
use prometheus::proto::{
    Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType,
};
use prometheus::{TEXT_FORMAT, TextEncoder};

/// How a figure of the database is shown.
struct Family {
    /// The database's name for it.
    sample: &'static str,
    name: &'static str,
    help: &'static str,
    kind: MetricType,
    /// What its label is called; none for a single figure.
    label: Option<&'static str>,
}

const fn gauge(sample: &'static str, name: &'static str, help: &'static str) -> Family {
    Family {
        sample,
        name,
        help,
        kind: MetricType::GAUGE,
        label: None,
    }
}

const fn counter(sample: &'static str, name: &'static str, help: &'static str) -> Family {
    Family {
        kind: MetricType::COUNTER,
        ..gauge(sample, name, help)
    }
}

const fn by(label: &'static str, family: Family) -> Family {
    Family {
        label: Some(label),
        ..family
    }
}

const DATABASE_UP: Family = gauge(
    "database_up",
    "duxnet_database_up",
    "Whether the database answers and has this version's schema.",
);

/// Every figure but the histogram; docs/metrics.md lists them too.
const FAMILIES: &[Family] = &[
    DATABASE_UP,
    gauge(
        "ledger_height",
        "duxnet_ledger_height",
        "The last block in the ledger.",
    ),
    gauge(
        "chain_height",
        "duxnet_chain_height",
        "The chain node's last block, as last seen.",
    ),
    gauge(
        "lag_blocks",
        "duxnet_ledger_lag_blocks",
        "Blocks that the ledger is behind the chain node.",
    ),
    gauge(
        "ledger_age",
        "duxnet_ledger_age_seconds",
        "Seconds since the ledger was level with the chain node.",
    ),
    gauge(
        "drift_florins",
        "duxnet_watchdog_drift_florins",
        "What ledger and chain node disagree on.",
    ),
    gauge(
        "watchdog_age",
        "duxnet_watchdog_age_seconds",
        "Seconds since the watchdog ended a round.",
    ),
    gauge(
        "sends_stopped",
        "duxnet_sends_stopped",
        "Whether all payments are stopped.",
    ),
    by(
        "state",
        gauge("payments", "duxnet_payments", "Payments by state."),
    ),
    by(
        "outcome",
        counter(
            "payments_ended",
            "duxnet_payments_ended_total",
            "Payments that confirmed, or failed and why.",
        ),
    ),
    gauge("wallets", "duxnet_wallets", "Wallets."),
    by(
        "kind",
        gauge(
            "wallets_florins",
            "duxnet_wallets_florins",
            "What all wallets hold.",
        ),
    ),
    gauge(
        "address_pool",
        "duxnet_address_pool",
        "Addresses ready for new wallets.",
    ),
    gauge(
        "wallets_frozen",
        "duxnet_wallets_frozen",
        "Wallets that an operator has frozen.",
    ),
    by(
        "severity",
        counter(
            "alerts",
            "duxnet_alerts_total",
            "Alerts of suspicious activity.",
        ),
    ),
    by(
        "of",
        counter(
            "failed_signatures",
            "duxnet_failed_signatures_total",
            "Wrong signatures, of registered nodes' ids and others.",
        ),
    ),
    gauge(
        "webhook_deliveries",
        "duxnet_webhook_deliveries",
        "Messages that webhooks are still to get.",
    ),
    by(
        "outcome",
        counter(
            "webhook_deliveries_ended",
            "duxnet_webhook_deliveries_ended_total",
            "Messages that webhooks got, or will not get.",
        ),
    ),
    by(
        "state",
        gauge("peers", "duxnet_peers", "Other registries by state."),
    ),
    gauge(
        "peer_outbox",
        "duxnet_peer_outbox",
        "Messages that other registries are still to get.",
    ),
    by("status", gauge("nodes", "duxnet_nodes", "Nodes by status.")),
    by(
        "node_id",
        gauge(
            "node_online",
            "duxnet_node_online",
            "Whether the node is online.",
        ),
    ),
    by(
        "node_id",
        gauge(
            "node_health",
            "duxnet_node_health",
            "The node's health score.",
        ),
    ),
    by(
        "node_id",
        gauge(
            "node_reputation",
            "duxnet_node_reputation",
            "The node's reputation.",
        ),
    ),
];

/// Upper bounds of the histogram's buckets, seconds, as the database counts them; above the last
/// it counts under `+Inf`.
const CONFIRM_SECONDS: [(&str, f64); 9] = [
    ("30", 30.0),
    ("60", 60.0),
    ("120", 120.0),
    ("300", 300.0),
    ("600", 600.0),
    ("1800", 1_800.0),
    ("3600", 3_600.0),
    ("21600", 21_600.0),
    ("86400", 86_400.0),
];

/// All figures; those of each node if asked for. A database that does not answer is a figure too.
pub async fn report(per_node: bool) -> Answer {
    let found = samples(per_node).await;
    let mut samples = found.unwrap_or_else(|error| {
        eprintln!("metrics: {error}");
        Vec::new()
    });
    samples.push(Sample {
        name: DATABASE_UP.sample.to_owned(),
        label: String::new(),
        value: i64::from(!samples.is_empty()),
    });
    let mut families: Vec<MetricFamily> = FAMILIES
        .iter()
        .map(|family| family.show(&samples))
        .collect();
    families.push(confirm_seconds(&samples));
    families.retain(|family| !family.get_metric().is_empty());
    let text = TextEncoder::new().encode_to_string(&families);
    Answer::text(TEXT_FORMAT, text.unwrap_or_default())
}

async fn samples(per_node: bool) -> Result<Vec<Sample>, StoreError> {
    let store = Store::new(SpinDatabase::open().await?);
    let mut samples = store.samples(SystemClock.now()).await?;
    if per_node {
        samples.extend(store.node_samples().await?);
    }
    Ok(samples)
}

impl Family {
    fn show(&self, samples: &[Sample]) -> MetricFamily {
        let metrics = samples
            .iter()
            .filter(|sample| sample.name == self.sample)
            .map(|sample| {
                let mut metric = Metric::from_label(self.labels(&sample.label));
                let value = double(sample.value);
                if self.kind == MetricType::COUNTER {
                    let mut counter = Counter::default();
                    counter.set_value(value);
                    metric.set_counter(counter);
                } else {
                    let mut gauge = Gauge::default();
                    gauge.set_value(value);
                    metric.set_gauge(gauge);
                }
                metric
            });
        family(self.name, self.help, self.kind, metrics.collect())
    }

    fn labels(&self, value: &str) -> Vec<LabelPair> {
        let pair = |name: &str| {
            let mut pair = LabelPair::default();
            pair.set_name(name.to_owned());
            pair.set_value(value.to_owned());
            pair
        };
        self.label.map(pair).into_iter().collect()
    }
}

fn family(name: &str, help: &str, kind: MetricType, metrics: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(metrics);
    family
}

/// The database counts each payment in one bucket; Prometheus wants sums up to each bound.
fn confirm_seconds(samples: &[Sample]) -> MetricFamily {
    let of = |name: &str, label: &str| {
        let found = samples.iter().find(|s| s.name == name && s.label == label);
        found.map_or(0, |sample| u64::try_from(sample.value).unwrap_or(0))
    };
    let mut total = 0;
    let buckets = CONFIRM_SECONDS.iter().map(|(label, bound)| {
        total += of("confirm_seconds", label);
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(*bound);
        bucket.set_cumulative_count(total);
        bucket
    });
    let mut histogram = Histogram::default();
    histogram.set_bucket(buckets.collect());
    histogram.set_sample_count(total + of("confirm_seconds", "+Inf"));
    let sum = of("confirm_seconds_sum", "");
    histogram.set_sample_sum(double(i64::try_from(sum).unwrap_or(i64::MAX)));
    let mut metric = Metric::from_label(Vec::new());
    metric.set_histogram(histogram);
    let metrics = if samples.iter().any(|s| s.name == "wallets") {
        vec![metric]
    } else {
        Vec::new()
    };
    family(
        "duxnet_payment_confirm_seconds",
        "Seconds from a payment's request to its confirmation.",
        MetricType::HISTOGRAM,
        metrics,
    )
}

/// Prometheus has doubles only.
#[allow(clippy::cast_precision_loss, reason = "the format's own precision")]
fn double(value: i64) -> f64 {
    value as f64
}
