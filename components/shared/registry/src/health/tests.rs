use super::*;
use duxnet_store::{ServiceFacts, WalletFacts};
use duxnet_units::Amount;
use proptest::prelude::*;

const NOW: i64 = 1_700_000_000;

fn rules() -> Rules {
    crate::tests::rules()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_seconds(seconds).unwrap()
}

fn best() -> HealthFacts {
    HealthFacts {
        heartbeat_at: Some(at(NOW)),
        wallet: Some(WalletFacts {
            is_active: true,
            late_payments: 0,
            confirmed_payments: 0,
            failed_payments: 0,
        }),
        service: ServiceFacts {
            synced_at: Some(at(NOW)),
            watchdog_drift: Some(Amount::ZERO),
            sends_stopped: false,
        },
    }
}

fn score(facts: &HealthFacts) -> u32 {
    assess(facts, &rules(), at(NOW)).score
}

fn value(facts: &HealthFacts, name: FactorName) -> u32 {
    let assessment = assess(facts, &rules(), at(NOW));
    let found = assessment.factors.iter().find(|f| f.name == name);
    found.unwrap().value
}

#[test]
fn the_weights_sum_to_100_and_a_flawless_node_has_100() {
    let assessment = assess(&best(), &rules(), at(NOW));
    let weights: u32 = assessment.factors.iter().map(|f| f.name.weight()).sum();
    assert_eq!((weights, assessment.score), (100, 100));
}

#[test]
fn a_heartbeat_fades_from_stale_to_offline() {
    for (age, expected) in [
        (0, 100),
        (89, 100),
        (90, 100),
        (195, 50),
        (299, 0),
        (300, 0),
        (9_999, 0),
        (-50, 100),
    ] {
        let facts = HealthFacts {
            heartbeat_at: Some(at(NOW - age)),
            ..best()
        };
        assert_eq!(value(&facts, FactorName::Heartbeat), expected, "{age}");
    }
    let none = HealthFacts {
        heartbeat_at: None,
        ..best()
    };
    assert_eq!(score(&none), 70);
}

#[test]
fn the_wallets_status_is_a_fifth_of_the_score() {
    let none = HealthFacts {
        wallet: None,
        ..best()
    };
    assert_eq!(score(&none), 80);
    let mut inactive = best();
    inactive.wallet.as_mut().unwrap().is_active = false;
    assert_eq!(score(&inactive), 80);
    for (synced_at, expected) in [
        (None, 90),
        (Some(NOW - 61), 90),
        (Some(NOW - 60), 100),
        (Some(NOW + 5), 100),
    ] {
        let mut facts = best();
        facts.service.synced_at = synced_at.map(at);
        assert_eq!(score(&facts), expected, "{synced_at:?}");
    }
}

#[test]
fn payments_count_and_none_is_no_fault() {
    for (late, confirmed, failed, expected) in [
        (0, 0, 0, 100),
        (0, 5, 0, 100),
        (0, 3, 1, 95),
        (0, 0, 1, 80),
        (1, 0, 0, 95),
        (4, 0, 0, 80),
        (4_000_000_000, 0, 0, 80),
        (4, 0, 7, 60),
    ] {
        let mut facts = best();
        let wallet = facts.wallet.as_mut().unwrap();
        wallet.late_payments = late;
        wallet.confirmed_payments = confirmed;
        wallet.failed_payments = failed;
        assert_eq!(score(&facts), expected, "{late} {confirmed} {failed}");
    }
}

#[test]
fn a_drift_and_a_stop_lower_everybodys_health() {
    let mut facts = best();
    facts.service.watchdog_drift = None;
    assert_eq!(score(&facts), 100);
    facts.service.watchdog_drift = Some(Amount::from_florins(1).unwrap());
    assert_eq!(score(&facts), 95);
    facts.service.sends_stopped = true;
    assert_eq!(score(&facts), 90);
}

fn any_facts() -> impl Strategy<Value = HealthFacts> {
    let time = || proptest::option::of((NOW - 1_000..NOW + 100).prop_map(at));
    let count = || prop_oneof![0u32..6, any::<u32>()];
    let wallet = (any::<bool>(), count(), count(), count()).prop_map(
        |(is_active, late_payments, confirmed_payments, failed_payments)| WalletFacts {
            is_active,
            late_payments,
            confirmed_payments,
            failed_payments,
        },
    );
    let drift = proptest::option::of((0u64..3).prop_map(|f| Amount::from_florins(f).unwrap()));
    (
        time(),
        proptest::option::of(wallet),
        time(),
        drift,
        any::<bool>(),
    )
        .prop_map(
            |(heartbeat_at, wallet, synced_at, watchdog_drift, sends_stopped)| HealthFacts {
                heartbeat_at,
                wallet,
                service: ServiceFacts {
                    synced_at,
                    watchdog_drift,
                    sends_stopped,
                },
            },
        )
}

/// The same with one thing better.
fn improved(facts: &HealthFacts) -> Vec<HealthFacts> {
    let mut better = vec![
        HealthFacts {
            heartbeat_at: Some(
                facts
                    .heartbeat_at
                    .map_or(at(NOW - 500), |t| at(t.unix_seconds() + 10)),
            ),
            ..*facts
        },
        HealthFacts {
            service: ServiceFacts {
                synced_at: Some(
                    facts
                        .service
                        .synced_at
                        .map_or(at(NOW - 500), |t| at(t.unix_seconds() + 10)),
                ),
                ..facts.service
            },
            ..*facts
        },
        HealthFacts {
            service: ServiceFacts {
                sends_stopped: false,
                ..facts.service
            },
            ..*facts
        },
        HealthFacts {
            service: ServiceFacts {
                watchdog_drift: Some(Amount::ZERO),
                ..facts.service
            },
            ..*facts
        },
    ];
    if let Some(wallet) = facts.wallet {
        let with = |wallet| HealthFacts {
            wallet: Some(wallet),
            ..*facts
        };
        better.extend([
            with(WalletFacts {
                is_active: true,
                ..wallet
            }),
            with(WalletFacts {
                late_payments: wallet.late_payments.saturating_sub(1),
                ..wallet
            }),
            with(WalletFacts {
                confirmed_payments: wallet.confirmed_payments.saturating_add(1),
                ..wallet
            }),
            with(WalletFacts {
                failed_payments: wallet.failed_payments.saturating_sub(1),
                ..wallet
            }),
        ]);
    }
    better
}

proptest! {
    #[test]
    fn a_score_is_its_factors_within_0_and_100_and_never_falls_when_something_is_better(facts in any_facts()) {
        let assessment = assess(&facts, &rules(), at(NOW));
        prop_assert!(assessment.score <= 100);
        prop_assert!(assessment.factors.iter().all(|f| f.value <= 100));
        let sum: u32 = assessment.factors.iter().map(|f| f.name.weight() * f.value).sum();
        prop_assert_eq!(assessment.score, sum / 100);
        for better in improved(&facts) {
            let after = assess(&better, &rules(), at(NOW));
            prop_assert!(after.score >= assessment.score, "{:?} to {:?}", assessment, after);
        }
    }
}
