//! The measured operations and subjects.

use std::fmt;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Operation {
    GetToken,
    Introspect,
    CreateToken,
    Redeem,
    Rotate,
    RevokeToken,
    GetClient,
    /// A new replay identifier.
    Claim,
    /// A poll of a device authorization that waits for its user.
    Poll,
    /// 90 % introspect, 7 % create, 2 % rotate, 1 % revoke.
    Mix,
    /// The introspections within the mix; never run by itself.
    MixIntrospect,
    /// Growth: introspections while a purge runs; never run by itself.
    PurgeIntrospect,
    /// Growth: rows purged; never run by itself.
    Purge,
}

/// The mix, as shares of a hundred calls.
pub(crate) const MIX: [(Operation, u64); 4] = [
    (Operation::Introspect, 90),
    (Operation::CreateToken, 7),
    (Operation::Rotate, 2),
    (Operation::RevokeToken, 1),
];

impl Operation {
    pub(crate) const ALL: [Self; 10] = [
        Self::GetToken,
        Self::Introspect,
        Self::CreateToken,
        Self::Redeem,
        Self::Rotate,
        Self::RevokeToken,
        Self::GetClient,
        Self::Claim,
        Self::Poll,
        Self::Mix,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::GetToken => "get_token",
            Self::Introspect => "introspect",
            Self::CreateToken => "create_token",
            Self::Redeem => "redeem",
            Self::Rotate => "rotate",
            Self::RevokeToken => "revoke_token",
            Self::GetClient => "get_client",
            Self::Claim => "claim",
            Self::Poll => "poll",
            Self::Mix => "mix",
            Self::MixIntrospect => "mix_introspect",
            Self::PurgeIntrospect => "purge_introspect",
            Self::Purge => "purge",
        }
    }

    pub(crate) fn parse(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|operation| operation.name() == name);
        found.ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|operation| operation.name()).collect();
            format!("{name:?} is not an operation; there are {}", names.join(", "))
        })
    }

    pub(crate) fn writes(self) -> bool {
        matches!(
            self,
            Self::CreateToken
                | Self::Redeem
                | Self::Rotate
                | Self::RevokeToken
                | Self::Claim
                | Self::Poll
                | Self::Mix
        )
    }

    /// The rows that a call uses up.
    pub(crate) fn spends(self) -> Option<Spends> {
        match self {
            Self::Redeem => Some(Spends::Codes),
            Self::Rotate | Self::RevokeToken | Self::Mix => Some(Spends::Pairs),
            _ => None,
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spends {
    Codes,
    Pairs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum SubjectName {
    Storage,
    Pool,
    Pgbench,
}

impl SubjectName {
    pub(crate) const ALL: [Self; 3] = [Self::Storage, Self::Pool, Self::Pgbench];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Storage => "oauth-storage",
            Self::Pool => "sqlx-pool",
            Self::Pgbench => "pgbench",
        }
    }

    pub(crate) fn parse(name: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|subject| subject.name() == name)
            .ok_or(format!("{name}: no such subject"))
    }
}

impl fmt::Display for SubjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
