//! One way to write an enum that is text at the API and text or an enum type in PostgreSQL.

/// Text that names none of an enum's values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected one of {expected}")]
pub struct UnknownValue {
    /// The values that exist, quoted and separated by commas.
    pub expected: String,
}

macro_rules! text_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $text)] $variant),+
        }

        impl $name {
            /// Every value, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The text that stands for the value at the API and in the database.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::text_enum::UnknownValue;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::ALL.iter().copied().find(|value| value.as_str() == text).ok_or_else(|| {
                    let quoted: Vec<String> = Self::ALL.iter().map(|value| format!("`{value}`")).collect();
                    $crate::text_enum::UnknownValue { expected: quoted.join(", ") }
                })
            }
        }

        impl postgres_types::ToSql for $name {
            fn to_sql(&self, _: &postgres_types::Type, out: &mut bytes::BytesMut)
                -> Result<postgres_types::IsNull, Box<dyn std::error::Error + Sync + Send>> {
                out.extend_from_slice(self.as_str().as_bytes());
                Ok(postgres_types::IsNull::No)
            }

            fn accepts(kind: &postgres_types::Type) -> bool {
                $crate::text_enum::accepts(kind)
            }

            postgres_types::to_sql_checked!();
        }

        impl<'a> postgres_types::FromSql<'a> for $name {
            fn from_sql(_: &postgres_types::Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
                Ok(std::str::from_utf8(raw)?.parse::<Self>()?)
            }

            fn accepts(kind: &postgres_types::Type) -> bool {
                $crate::text_enum::accepts(kind)
            }
        }
    };
}

/// Enum values travel as their label, so an enum type and a text column read the same.
pub(crate) fn accepts(kind: &postgres_types::Type) -> bool {
    use postgres_types::{Kind, Type};
    matches!(kind.kind(), Kind::Enum(_)) || [Type::TEXT, Type::VARCHAR].contains(kind)
}

pub(crate) use text_enum;
