//! Values that go into a statement.

use jiff::Timestamp;
use uuid::Uuid;

/// The values of a statement's `$1`, `$2`, …; written with [`args!`](crate::args).
pub type Args = Vec<Value>;

/// A value of a statement, or a NULL that knows its type.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// `TEXT`.
    Text(Option<String>),
    /// `BIGINT`, `INTEGER` in SQLite; times are these, in microseconds.
    Int(Option<i64>),
    /// `DOUBLE PRECISION`, `REAL` in SQLite.
    Real(Option<f64>),
    /// `BOOLEAN`.
    Bool(Option<bool>),
    /// `BYTEA`, `BLOB` in SQLite.
    Bytes(Option<Vec<u8>>),
    /// `UUID`, `TEXT` in SQLite.
    Uuid(Option<Uuid>),
}

/// What can stand for a `$1`. Implement it for your own enums, by way of their text.
pub trait Bind {
    /// The value.
    fn bind(self) -> Value;
    /// The NULL of the same type.
    fn null() -> Value;
}

/// Makes [`Args`](crate::db::Args): `args![id, &name, amount, now]`.
#[macro_export]
macro_rules! args {
    ($($value:expr),* $(,)?) => {
        ::std::vec![$($crate::db::Bind::bind($value)),*]
    };
}

macro_rules! bind {
    ($($variant:ident $type:ty, $value:ident => $convert:expr;)*) => {
        $(impl Bind for $type {
            fn bind(self) -> Value {
                let $value = self;
                Value::$variant(Some($convert))
            }

            fn null() -> Value {
                Value::$variant(None)
            }
        })*
    };
}

bind! {
    Text String, v => v;
    Text &str, v => v.to_owned();
    Int i64, v => v;
    Int i32, v => v.into();
    Int u32, v => v.into();
    Int u16, v => v.into();
    Int Timestamp, v => v.as_microsecond();
    Real f64, v => v;
    Bool bool, v => v;
    Bytes Vec<u8>, v => v;
    Bytes &[u8], v => v.to_vec();
    Uuid Uuid, v => v;
}

impl<T: Bind> Bind for Option<T> {
    fn bind(self) -> Value {
        self.map_or_else(T::null, T::bind)
    }

    fn null() -> Value {
        T::null()
    }
}

impl<T: Bind + Clone> Bind for &T {
    fn bind(self) -> Value {
        self.clone().bind()
    }

    fn null() -> Value {
        T::null()
    }
}

impl Bind for Value {
    fn bind(self) -> Value {
        self
    }

    fn null() -> Value {
        Self::Text(None)
    }
}
