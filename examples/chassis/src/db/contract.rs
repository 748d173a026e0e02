//! The contract's words as values and columns: they travel as their text.

use contracts::{PaymentStatus, PaymentType, ResourceType, RevokeReason, Role, UserStatus};

use super::{Bind, DbError, FromColumn, Row, Value};

macro_rules! word {
    ($($type:ty)*) => {
        $(impl Bind for $type {
            fn bind(self) -> Value {
                Value::Text(Some(self.as_str().to_owned()))
            }

            fn null() -> Value {
                Value::Text(None)
            }
        }

        impl FromColumn for $type {
            fn from_column(row: &Row, name: &str) -> Result<Self, DbError> {
                row.parse(name)
            }
        })*
    };
}

word! { PaymentStatus PaymentType ResourceType RevokeReason Role UserStatus }
