//! The methods that return a future, of the storage and of its users.

macro_rules! methods {
    ($($name:ident),* $(,)?) => {
        #[derive(Debug, Clone, Copy)]
        pub(crate) enum Method { $($name),* }

        impl Method {
            pub(crate) const ALL: &[Self] = &[$(Self::$name),*];
        }
    };
}

methods!(
    Connect,
    Migrate,
    PendingMigrations,
    Close,
    CreateToken,
    GetToken,
    RevokeAccess,
    RevokeRefresh,
    CreateCode,
    GetCode,
    DeleteCode,
    Redeem,
    Rotate,
    Introspect,
    GetGrant,
    RevokeGrant,
    RevokeGrantOf,
    RevokeGrantsOf,
    RevokeSubject,
    EraseSubject,
    RevokeClient,
    ListGrants,
    PurgeExpired,
    Purge,
    GetClient,
    RegisterClient,
    ReadClient,
    ListClients,
    UpdateClient,
    RotateClientSecret,
    SetClientDisabled,
    DeleteClient,
    Authenticate,
    GetIdToken,
    CreateUser,
    SetPassword,
    SetUserDisabled,
    DeleteUser,
);
