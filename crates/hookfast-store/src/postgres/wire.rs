//! Ids as the column type `uuid`. Must not know which tables have them.

use crate::page::Key;
use bytes::BytesMut;
use hookfast_core::{AppId, AttemptId, EndpointId, EventId, TaskId, TokenId};
use std::error::Error;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, accepts, to_sql_checked};

/// The 16 bytes of an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Uuid(pub(crate) u128);

impl Uuid {
    /// Before every id.
    pub(crate) const MIN: Self = Self(0);
    /// Behind every id.
    pub(crate) const MAX: Self = Self(u128::MAX);
}

impl Key for Uuid {
    fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

macro_rules! from_ids {
    ($($id:ident)*) => {
        $(impl From<$id> for Uuid {
            fn from(id: $id) -> Self {
                Self(id.as_u128())
            }
        }
        impl From<Uuid> for $id {
            fn from(uuid: Uuid) -> Self {
                Self::from_u128(uuid.0)
            }
        })*
    };
}

from_ids!(AppId AttemptId EndpointId EventId TaskId TokenId);

impl ToSql for Uuid {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.extend_from_slice(&self.0.to_be_bytes());
        Ok(IsNull::No)
    }

    accepts!(UUID);
    to_sql_checked!();
}

impl<'a> FromSql<'a> for Uuid {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(u128::from_be_bytes(raw.try_into()?)))
    }

    accepts!(UUID);
}
