//! Words of the registry: what a node is, what it lets out, what it did.

/// Where a node stands, by the age of its last heartbeat.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NodeStatus {
    /// No heartbeat yet.
    Registered,
    /// Its last heartbeat is young.
    Online,
    /// It is older than a node's should be.
    Stale,
    /// So old that the node is taken for gone.
    Offline,
    /// It has left; its key keeps the node id.
    Deregistered,
}

impl NodeStatus {
    /// All of them.
    pub const ALL: [NodeStatus; 5] = [
        NodeStatus::Registered,
        NodeStatus::Online,
        NodeStatus::Stale,
        NodeStatus::Offline,
        NodeStatus::Deregistered,
    ];

    /// As stored and shown.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            NodeStatus::Registered => "registered",
            NodeStatus::Online => "online",
            NodeStatus::Stale => "stale",
            NodeStatus::Offline => "offline",
            NodeStatus::Deregistered => "deregistered",
        }
    }

    /// The status of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }
}

/// How many of several capabilities a node must have.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Match {
    /// Every one.
    #[default]
    All,
    /// One of them.
    Any,
}

/// What a node lets peers be told of its wallet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Share {
    /// That it has one, and the address.
    Wallet,
    /// Payments sent and received.
    Transactions,
    /// What it holds.
    Balances,
}

impl Share {
    /// All of them.
    pub const ALL: [Share; 3] = [Share::Wallet, Share::Transactions, Share::Balances];

    /// As stored and shown.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Share::Wallet => "wallet",
            Share::Transactions => "transactions",
            Share::Balances => "balances",
        }
    }

    /// What has this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|share| share.name() == name)
    }
}

/// What an operator says of a node; DuxNet's event types and points.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Conduct {
    /// It did a task.
    TaskSuccess,
    /// It failed at one.
    TaskFailure,
    /// It did not answer in time.
    TaskTimeout,
    /// It did harm on purpose.
    MaliciousBehavior,
    /// It was healthy for long.
    HealthMilestone,
    /// It was there for long.
    UptimeMilestone,
    /// It helped the network otherwise.
    CommunityContribution,
}

impl Conduct {
    /// All of them.
    pub const ALL: [Conduct; 7] = [
        Conduct::TaskSuccess,
        Conduct::TaskFailure,
        Conduct::TaskTimeout,
        Conduct::MaliciousBehavior,
        Conduct::HealthMilestone,
        Conduct::UptimeMilestone,
        Conduct::CommunityContribution,
    ];

    /// As stored and shown, and the points it is worth.
    const fn row(self) -> (&'static str, i32) {
        match self {
            Conduct::TaskSuccess => ("task_success", 10),
            Conduct::TaskFailure => ("task_failure", -5),
            Conduct::TaskTimeout => ("task_timeout", -10),
            Conduct::MaliciousBehavior => ("malicious_behavior", -50),
            Conduct::HealthMilestone => ("health_milestone", 2),
            Conduct::UptimeMilestone => ("uptime_milestone", 5),
            Conduct::CommunityContribution => ("community_contribution", 15),
        }
    }

    /// As stored and shown.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.row().0
    }

    /// Points of reputation.
    #[must_use]
    pub const fn points(self) -> i32 {
        self.row().1
    }

    /// The type of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|conduct| conduct.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_read_back_and_no_other() {
        for status in NodeStatus::ALL {
            assert_eq!(NodeStatus::from_name(status.name()), Some(status));
        }
        for share in Share::ALL {
            assert_eq!(Share::from_name(share.name()), Some(share));
        }
        for conduct in Conduct::ALL {
            assert_eq!(Conduct::from_name(conduct.name()), Some(conduct));
        }
        for bad in ["", "Online", "gone", "payment_confirmed"] {
            assert_eq!(NodeStatus::from_name(bad), None);
            assert_eq!(Share::from_name(bad), None);
            assert_eq!(Conduct::from_name(bad), None);
        }
    }
}
