//! Which coins a payment spends, and what it costs: all in whole florins.
//!
//! The crates for coin selection compute fee rates in 32-bit floats, which are off by florins from
//! about 70 inputs on; the fee here must be the node's formula exactly, because the database checks
//! that inputs equal amount, fee and change.

use duxnet_store::{Input, SpendableCoin as Coin};
use duxnet_units::{Address, Amount};

/// Bytes of a transaction without inputs and outputs (FACTS 3).
const BASE_BYTES: u64 = 10;
/// Bytes of a P2PKH input with a signature of the largest size (FACTS 3).
const INPUT_BYTES: u64 = 148;
/// Bytes of an output without its script: value and script length.
const OUTPUT_OVERHEAD_BYTES: u64 = 9;
/// Most inputs of a payment: stays far below the 100 kB of a standard transaction, and below 253,
/// where the count of inputs would take more bytes.
pub const MAX_INPUTS: usize = 250;

/// Outputs below this are refused or cost extra: Core's `-discardthreshold` and soft dust limit,
/// 0.01 FLOP (FACTS 3).
pub const DUST_LIMIT_FLORINS: u64 = 1_000_000;

/// What a payment spends, costs and gives back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Selection {
    /// The coins.
    pub inputs: Vec<Input>,
    /// For the miner, what is too little to give back included.
    pub fee: Amount,
    /// Back to the wallet; zero for no such output.
    pub change: Amount,
}

/// Why no coins were selected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SelectionError {
    /// All coins together are less than amount and fee.
    Insufficient {
        /// All coins together.
        available: Amount,
        /// Amount and fee.
        needed: Amount,
    },
    /// More than [`MAX_INPUTS`] would be needed.
    TooManyInputs,
}

/// What is paid, and what bytes cost.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// How much the recipient gets.
    pub amount: Amount,
    /// The recipient.
    pub recipient: &'a Address,
    /// Where change goes.
    pub change_address: &'a Address,
    /// Florins per 1000 bytes.
    pub fee_rate: u64,
}

impl Target<'_> {
    /// Core's formula: size with the largest signatures, times rate, no rounding up (FACTS 3).
    fn fee(&self, inputs: usize, with_change: bool) -> Option<Amount> {
        let output =
            |address: &Address| OUTPUT_OVERHEAD_BYTES + address.script_pubkey().len() as u64;
        let mut bytes = BASE_BYTES + INPUT_BYTES * inputs as u64 + output(self.recipient);
        if with_change {
            bytes += output(self.change_address);
        }
        bytes
            .checked_mul(self.fee_rate)
            .and_then(|florins| Amount::from_florins(florins / 1000).ok())
    }

    /// What these coins' worth leaves for fee and change; none when it is too little.
    fn settle(&self, total: Amount, inputs: usize) -> Option<(Amount, Amount)> {
        let rest = total.checked_sub(self.amount)?;
        let fee = self.fee(inputs, true)?;
        match rest.checked_sub(fee) {
            Some(change) if change.florins() >= DUST_LIMIT_FLORINS => Some((fee, change)),
            _ => (rest >= self.fee(inputs, false)?).then_some((rest, Amount::ZERO)),
        }
    }
}

/// Chooses coins, of which `total` is the worth of all there are, these among them: the smallest that suffices alone, otherwise the largest first. Confirmed coins
/// come before own unconfirmed change, so that chains of unconfirmed payments stay short.
///
/// # Errors
/// See [`SelectionError`].
pub fn select(
    coins: &[Coin],
    total: Amount,
    target: &Target<'_>,
) -> Result<Selection, SelectionError> {
    let mut by_value: Vec<&Coin> = coins.iter().collect();
    by_value.sort_by(|a, b| {
        b.value
            .cmp(&a.value)
            .then_with(|| a.outpoint.cmp(&b.outpoint))
    });
    let confirmed: Vec<&Coin> = by_value
        .iter()
        .copied()
        .filter(|coin| coin.is_confirmed)
        .collect();
    pick(&confirmed, target)
        .or_else(|| pick(&by_value, target))
        .ok_or_else(|| shortage(by_value.len(), total, target))
}

/// All coins in one payment without change: what it pays, and the selection.
///
/// # Errors
/// [`SelectionError::TooManyInputs`], and [`SelectionError::Insufficient`] when less than the least
/// that can be paid would be left after the fee.
pub fn sweep(
    coins: &[Coin],
    recipient: &Address,
    fee_rate: u64,
) -> Result<(Amount, Selection), SelectionError> {
    if coins.len() > MAX_INPUTS {
        return Err(SelectionError::TooManyInputs);
    }
    let least = Amount::from_florins(DUST_LIMIT_FLORINS).unwrap_or(Amount::MAX);
    let target = Target {
        amount: least,
        recipient,
        change_address: recipient,
        fee_rate,
    };
    let all: Vec<&Coin> = coins.iter().collect();
    let total = Amount::checked_sum(coins.iter().map(|coin| coin.value)).unwrap_or(Amount::MAX);
    let fee = target.fee(coins.len().max(1), false).unwrap_or(Amount::MAX);
    match total.checked_sub(fee) {
        Some(amount) if amount >= least => Ok((
            amount,
            Selection {
                inputs: inputs(all),
                fee,
                change: Amount::ZERO,
            },
        )),
        _ => Err(shortage(coins.len(), total, &target)),
    }
}

fn inputs(coins: Vec<&Coin>) -> Vec<Input> {
    coins
        .into_iter()
        .map(|coin| Input {
            outpoint: coin.outpoint.clone(),
            value: coin.value,
        })
        .collect()
}

/// `coins` are sorted, largest first.
fn pick(coins: &[&Coin], target: &Target<'_>) -> Option<Selection> {
    let alone = coins.iter().rev().find_map(|coin| {
        target
            .settle(coin.value, 1)
            .map(|settled| (vec![*coin], settled))
    });
    let (chosen, (fee, change)) = alone.or_else(|| {
        let mut total = Amount::ZERO;
        for (index, coin) in coins.iter().enumerate().take(MAX_INPUTS) {
            total = total.checked_add(coin.value)?;
            if let Some(settled) = target.settle(total, index + 1) {
                return Some((coins[..=index].to_vec(), settled));
            }
        }
        None
    })?;
    Some(Selection {
        inputs: inputs(chosen),
        fee,
        change,
    })
}

fn shortage(coins: usize, available: Amount, target: &Target<'_>) -> SelectionError {
    let needed = target
        .fee(coins.clamp(1, MAX_INPUTS), false)
        .and_then(|fee| fee.checked_add(target.amount))
        .unwrap_or(Amount::MAX);
    if available >= needed && coins >= MAX_INPUTS {
        SelectionError::TooManyInputs
    } else {
        SelectionError::Insufficient { available, needed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use duxnet_units::{Network, OutPoint, Txid};
    use proptest::prelude::*;

    /// Core's default, 0.01 FLOP per 1000 bytes.
    const RATE: u64 = 1_000_000;

    fn address() -> Address {
        Address::parse("miNiR47hEGLJ19YydJMnRTrTgTbcwfRisE", Network::Regtest).unwrap()
    }

    fn coin(value: u64, confirmations: u32, index: u32) -> Coin {
        Coin {
            outpoint: OutPoint {
                txid: Txid::from_wire_bytes([7; 32]),
                vout: index,
            },
            value: Amount::from_florins(value).unwrap(),
            is_confirmed: confirmations > 0,
        }
    }

    fn pay(coins: &[Coin], amount: u64) -> Result<Selection, SelectionError> {
        let address = address();
        let amount = Amount::from_florins(amount).unwrap();
        let total = Amount::checked_sum(coins.iter().map(|coin| coin.value)).unwrap();
        select(
            coins,
            total,
            &Target {
                amount,
                recipient: &address,
                change_address: &address,
                fee_rate: RATE,
            },
        )
    }

    #[test]
    fn fees_are_cores_own() {
        // FACTS 3: 1-in/2-out 0.00226, 1-in/1-out 0.00192, 3-in/2-out 0.00522 FLOP.
        assert_eq!(
            pay(&[coin(10_000_000_000, 1, 0)], 5_000_000_000)
                .unwrap()
                .fee
                .florins(),
            226_000
        );
        assert_eq!(
            pay(&[coin(5_000_192_000, 1, 0)], 5_000_000_000)
                .unwrap()
                .fee
                .florins(),
            192_000
        );
        let three = [
            coin(2_000_000_000, 1, 0),
            coin(2_000_000_000, 1, 1),
            coin(2_000_000_000, 1, 2),
        ];
        assert_eq!(pay(&three, 5_000_000_000).unwrap().fee.florins(), 522_000);
    }

    #[test]
    fn change_too_small_to_give_back_goes_to_the_fee() {
        let selection = pay(
            &[coin(5_000_000_000 + 226_000 + 999_999, 1, 0)],
            5_000_000_000,
        )
        .unwrap();
        assert_eq!(
            (selection.fee.florins(), selection.change),
            (1_225_999, Amount::ZERO)
        );
        let selection = pay(
            &[coin(5_000_000_000 + 226_000 + 1_000_000, 1, 0)],
            5_000_000_000,
        )
        .unwrap();
        assert_eq!(
            (selection.fee.florins(), selection.change.florins()),
            (226_000, 1_000_000)
        );
    }

    #[test]
    fn the_smallest_sufficient_coin_is_taken_and_confirmed_coins_come_first() {
        let coins = [
            coin(900_000_000, 0, 0),
            coin(50_000_000_000, 1, 1),
            coin(2_000_000_000, 1, 2),
        ];
        assert_eq!(pay(&coins, 800_000_000).unwrap().inputs[0].outpoint.vout, 2);
        assert_eq!(pay(&coins, 52_500_000_000).unwrap().inputs.len(), 3);
    }

    #[test]
    fn one_florin_short_is_insufficient() {
        let exact = 5_000_000_000 + 192_000;
        assert!(pay(&[coin(exact, 1, 0)], 5_000_000_000).is_ok());
        let SelectionError::Insufficient { available, needed } =
            pay(&[coin(exact - 1, 1, 0)], 5_000_000_000).unwrap_err()
        else {
            panic!("expected a shortage");
        };
        assert_eq!(needed.florins() - available.florins(), 1);
        assert!(matches!(
            pay(&[], 1),
            Err(SelectionError::Insufficient { .. })
        ));
    }

    #[test]
    fn a_sweep_leaves_nothing_and_pays_the_fee_of_its_size() {
        let coins = [
            coin(5_000_000_000, 1, 0),
            coin(2_000_000, 0, 1),
            coin(1, 1, 2),
        ];
        let (amount, selection) = sweep(&coins, &address(), RATE).unwrap();
        assert_eq!(selection.inputs.len(), 3);
        assert_eq!(selection.change, Amount::ZERO);
        assert_eq!(selection.fee.florins(), (10 + 3 * 148 + 34) * RATE / 1000);
        assert_eq!(amount.florins() + selection.fee.florins(), 5_002_000_001);
    }

    #[test]
    fn a_sweep_pays_at_least_what_can_be_paid_and_carries_what_a_payment_carries() {
        let least = DUST_LIMIT_FLORINS + 192_000;
        let swept = |value| sweep(&[coin(value, 1, 0)], &address(), RATE);
        assert_eq!(swept(least).unwrap().0.florins(), DUST_LIMIT_FLORINS);
        let SelectionError::Insufficient { available, needed } = swept(least - 1).unwrap_err()
        else {
            panic!("expected a shortage");
        };
        assert_eq!(needed.florins() - available.florins(), 1);
        assert!(matches!(
            sweep(&[], &address(), RATE),
            Err(SelectionError::Insufficient { .. })
        ));
        let many: Vec<_> = (0..251).map(|index| coin(50_000_000, 1, index)).collect();
        assert!(sweep(&many[1..], &address(), RATE).is_ok());
        assert_eq!(
            sweep(&many, &address(), RATE),
            Err(SelectionError::TooManyInputs)
        );
    }

    #[test]
    fn dust_by_the_thousand_is_not_put_into_one_transaction() {
        let dust: Vec<_> = (0..1_000).map(|index| coin(1_000_000, 1, index)).collect();
        assert_eq!(pay(&dust, 500_000_000), Err(SelectionError::TooManyInputs));
    }

    proptest! {
        #[test]
        fn inputs_always_equal_amount_fee_and_change(
            values in proptest::collection::vec((1u64..5_000_000_000, 0u32..3), 1..60),
            amount in 1_000_000u64..50_000_000_000,
        ) {
            let coins: Vec<_> = values.iter().zip(0..).map(|((v, c), i)| coin(*v, *c, i)).collect();
            match pay(&coins, amount) {
                Ok(selection) => {
                    let total: u64 = selection.inputs.iter().map(|input| input.value.florins()).sum();
                    prop_assert_eq!(total, amount + selection.fee.florins() + selection.change.florins());
                    let outputs = if selection.change.is_zero() { 1 } else { 2 };
                    let least = (10 + 148 * selection.inputs.len() as u64 + 34 * outputs) * RATE / 1000;
                    prop_assert!(selection.fee.florins() >= least);
                    prop_assert!(selection.fee.florins() < least + 34_000 + DUST_LIMIT_FLORINS);
                    let mut seen: Vec<_> = selection.inputs.iter().map(|input| input.outpoint.vout).collect();
                    seen.sort_unstable();
                    seen.dedup();
                    prop_assert_eq!(seen.len(), selection.inputs.len());
                }
                Err(SelectionError::Insufficient { .. }) => {
                    // Taking everything is the most there is.
                    let total: u64 = values.iter().map(|(v, _)| v).sum();
                    let everything = (10 + 148 * values.len() as u64 + 34) * RATE / 1000;
                    prop_assert!(total < amount + everything);
                }
                Err(SelectionError::TooManyInputs) => prop_assert!(false, "60 coins are not too many"),
            }
        }
    }
}
