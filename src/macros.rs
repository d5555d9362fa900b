//! Macros that the modules share.

/// Implements the string forms of an enum: `as_str`, `Display`, `FromStr` and serde. An unknown name
/// is [`InvalidReason::Unsupported`](crate::error::InvalidReason) of the given field.
macro_rules! names {
    ($type:ident, $field:literal, { $($variant:ident => $name:literal),+ $(,)? }) => {
        impl $type {
            /// Returns the name used in protocol messages.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $type {
            type Err = crate::error::Error;

            fn from_str(name: &str) -> Result<Self, Self::Err> {
                match name {
                    $($name => Ok(Self::$variant),)+
                    _ => Err(crate::error::Error::invalid(
                        $field,
                        crate::error::InvalidReason::Unsupported,
                    )),
                }
            }
        }

        string_serde!($type);
    };
}

/// Implements serde through `Display` and `FromStr`.
macro_rules! string_serde {
    ($type:ident) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

/// Implements a trait for `Arc<T>`, `Box<T>` and `&T` by forwarding each method.
macro_rules! forward {
    ($trait:ident { $(fn $method:ident(&self $(, $arg:ident: $type:ty)* $(,)?) -> $output:ty;)+ }) => {
        forward!(@for std::sync::Arc<T>, $trait { $(fn $method(&self $(, $arg: $type)*) -> $output;)+ });
        forward!(@for Box<T>, $trait { $(fn $method(&self $(, $arg: $type)*) -> $output;)+ });
        forward!(@for &T, $trait { $(fn $method(&self $(, $arg: $type)*) -> $output;)+ });
    };
    (@for $for:ty, $trait:ident { $(fn $method:ident(&self $(, $arg:ident: $type:ty)*) -> $output:ty;)+ }) => {
        #[async_trait::async_trait]
        impl<T: $trait + ?Sized> $trait for $for {
            $(async fn $method(&self $(, $arg: $type)*) -> $output {
                (**self).$method($($arg),*).await
            })+
        }
    };
}

/// Implements the `with_*` methods of an input. Each parameter has the name of the field that it
/// sets.
macro_rules! setters {
    ($($(#[$doc:meta])+ $method:ident($field:ident: $type:ty) => $value:expr;)+) => {
        $($(#[$doc])+
        #[must_use]
        pub fn $method(mut self, $field: $type) -> Self {
            self.$field = $value;
            self
        })+
    };
}
