//! When a request is made again, and what is known after it has failed.
//!
//! Only requests that change something come here. Each carries an idempotency key, so that a
//! repeat is never a second payment; whether an unanswered request had an effect is another
//! question, and the answer decides between the exit codes 1, 3 and 4.

use crate::client::{Answer, Fault};
use std::time::Duration;

/// The first pause; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// The longest that all pauses of a request take together. A service that wants more is left
/// alone, and the user told.
const PATIENCE: Duration = Duration::from_secs(15);
/// The codes after which the service itself may not know what came of the request.
const UNCERTAIN_CODES: [&str; 3] = ["in_progress", "database_unavailable", "internal"];

/// What one attempt came to.
pub type Outcome = Result<Answer, Fault>;

/// What an outcome means for the next attempt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// Another attempt would come to the same.
    Final,
    /// Another attempt may do better; this one had no effect.
    WithoutEffect,
    /// Another attempt may do better; this one may have had an effect.
    Uncertain,
}

/// Judges one outcome.
#[must_use]
pub fn standing(outcome: &Outcome) -> Standing {
    let answer = match outcome {
        Err(Fault::NotSent(_)) => return Standing::WithoutEffect,
        Err(Fault::Unanswered(_)) => return Standing::Uncertain,
        Ok(answer) => answer,
    };
    match answer.status {
        202 if answer.is_held() => Standing::Final,
        202 => Standing::Uncertain,
        409 | 500.. => match answer.problem() {
            Some(problem) if !problem.retryable => Standing::Final,
            Some(problem) if UNCERTAIN_CODES.contains(&problem.code.as_str()) => {
                Standing::Uncertain
            }
            Some(_) => Standing::WithoutEffect,
            // Not the service's words: something between it and us.
            None if answer.status >= 500 => Standing::Uncertain,
            None => Standing::Final,
        },
        _ => Standing::Final,
    }
}

/// Whether a refusal settles what an earlier, uncertain attempt came to. The service looks for an
/// earlier request of the same key before it judges these; the others it may give without looking.
#[must_use]
pub fn settles(status: u16) -> bool {
    matches!(status, 400 | 404 | 405 | 413 | 415 | 422)
}

/// How often, and for how long, a request is made again.
#[derive(Clone, Debug)]
pub struct Budget {
    retries: u32,
    pause: Duration,
    left: Duration,
}

impl Budget {
    /// A number of repeats.
    #[must_use]
    pub fn new(retries: u32) -> Self {
        Budget {
            retries,
            pause: FIRST_PAUSE,
            left: PATIENCE,
        }
    }

    /// The pause before the next attempt; none when there is to be none.
    pub fn next_pause(&mut self, outcome: &Outcome) -> Option<Duration> {
        if standing(outcome) == Standing::Final {
            return None;
        }
        self.retries = self.retries.checked_sub(1)?;
        let asked = outcome.as_ref().ok().and_then(|answer| answer.retry_after);
        let pause = self.pause.max(asked.unwrap_or_default());
        self.left = self.left.checked_sub(pause)?;
        self.pause *= 2;
        Some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Outcome {
        Ok(Answer {
            status,
            body: body.as_bytes().to_vec(),
            retry_after: None,
            is_replayed: false,
        })
    }

    fn problem(status: u16, code: &str, retryable: bool) -> Outcome {
        let body = format!(r#"{{"message":"m","code":"{code}","retryable":{retryable}}}"#);
        answer(status, &body)
    }

    #[test]
    fn outcomes_are_judged() {
        use Standing::{Final, Uncertain, WithoutEffect};
        for (outcome, expected) in [
            (answer(200, "{}"), Final),
            (answer(202, "{}"), Uncertain),
            (problem(409, "wallet_exists", false), Final),
            (problem(409, "in_progress", true), Uncertain),
            (problem(422, "insufficient_balance", false), Final),
            (problem(429, "rate_limit_exceeded", true), Final),
            (problem(502, "chain_rejected", false), Final),
            (problem(503, "coins_busy", true), WithoutEffect),
            (problem(503, "database_unavailable", true), Uncertain),
            (problem(500, "internal", true), Uncertain),
            (answer(502, "<html>"), Uncertain),
            (answer(409, "<html>"), Final),
            (Err(Fault::NotSent(String::new())), WithoutEffect),
            (Err(Fault::Unanswered(String::new())), Uncertain),
        ] {
            assert_eq!(standing(&outcome), expected, "{outcome:?}");
        }
    }

    #[test]
    fn the_budget_ends_by_number_and_by_time() {
        let busy = problem(503, "coins_busy", true);
        let mut budget = Budget::new(2);
        assert_eq!(budget.next_pause(&busy), Some(Duration::from_millis(200)));
        assert_eq!(budget.next_pause(&busy), Some(Duration::from_millis(400)));
        assert_eq!(budget.next_pause(&busy), None);
        let mut budget = Budget::new(9);
        let mut later = busy.clone().unwrap();
        later.retry_after = Some(Duration::from_secs(10));
        assert_eq!(
            budget.next_pause(&Ok(later.clone())),
            Some(Duration::from_secs(10))
        );
        assert_eq!(budget.next_pause(&Ok(later)), None);
        assert_eq!(Budget::new(9).next_pause(&answer(200, "{}")), None);
    }
}
