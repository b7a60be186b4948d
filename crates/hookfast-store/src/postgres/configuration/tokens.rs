//! Access tokens: kept as hashes, ended at once on this node and within a second on the others.

use super::Edit;
use crate::postgres::changes::Change;
use crate::postgres::db::{Params, Run as _};
use crate::postgres::wire::Uuid;
use crate::postgres::{PostgresStore, Shared};
use crate::{Error, Result};
use hookfast_core::model::{Name, Principal, Scope, Token};
use hookfast_core::ports::{BoxFuture, Tokens};
use hookfast_core::{Error as PortError, OrgId, TokenId, UnixMs};
use std::sync::Arc;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

const COLUMNS: &str = "id, hash, name, org, app, created_at, expires_at";
const NOT_FOUND: Error = Error::Port(PortError::NotFound { what: "token" });

fn read(row: &Row) -> Result<Token> {
    let app: Option<&str> = row.try_get(4)?;
    let (id, name): (TokenId, String) = (row.try_get::<_, Uuid>(0)?.into(), row.try_get(2)?);
    Ok(Token {
        id,
        caller: Name::of_token(id, &name),
        name,
        hash: row.try_get::<_, &[u8]>(1)?.try_into().map_err(|_| Error::Damaged { what: "hash" })?,
        principal: Principal {
            org: row.try_get::<_, &str>(3)?.parse().map_err(|_| Error::Damaged { what: "organisation" })?,
            scope: app.map_or(Scope::Org, |app| Scope::App(app.into())),
        },
        created_at: UnixMs(row.try_get(5)?),
        expires_at: row.try_get::<_, Option<i64>>(6)?.map(UnixMs),
    })
}

fn is_live(shared: &Shared, token: &Token) -> bool {
    token.expires_at.is_none_or(|at| at > shared.clock.wall())
}

async fn create(shared: &Shared, token: &Token) -> Result<()> {
    let app = match &token.principal.scope {
        Scope::Org => None,
        Scope::App(app) => Some(app.as_ref()),
    };
    let sql = format!("INSERT INTO hookfast.tokens ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7)");
    let params: Params<'_> = &[
        (&Uuid::from(token.id), Type::UUID),
        (&token.hash.as_slice(), Type::BYTEA),
        (&token.name, Type::TEXT),
        (&token.principal.org.as_str(), Type::TEXT),
        (&app, Type::TEXT),
        (&token.created_at.0, Type::INT8),
        (&token.expires_at.map(|at| at.0), Type::INT8),
    ];
    shared.db.session().await?.change(&sql, params).await?;
    Ok(())
}

async fn find(shared: &Shared, hash: [u8; 32]) -> Result<Arc<Token>> {
    let seen = shared.directory.changes();
    let sql = format!("SELECT {COLUMNS} FROM hookfast.tokens WHERE hash = $1 AND revoked_at IS NULL");
    let row = shared.db.session().await?.opt(&sql, &[(&hash.as_slice(), Type::BYTEA)]).await?;
    let token = Arc::new(read(&row.ok_or(NOT_FOUND)?)?);
    if !is_live(shared, &token) {
        return Err(NOT_FOUND);
    }
    shared.directory.put_token(&token, seen);
    Ok(token)
}

async fn list(shared: &Shared, org: &OrgId) -> Result<Vec<Token>> {
    let sql =
        format!("SELECT {COLUMNS} FROM hookfast.tokens WHERE org = $1 AND revoked_at IS NULL ORDER BY id LIMIT 10000");
    let rows = shared.db.session().await?.rows(&sql, &[(&org.as_str(), Type::TEXT)]).await?;
    rows.iter().map(read).collect()
}

async fn revoke(edit: &mut Edit<'_>, org: &OrgId, id: TokenId) -> Result<()> {
    let sql = "UPDATE hookfast.tokens SET revoked_at = $3 WHERE org = $1 AND id = $2 AND revoked_at IS NULL";
    let now = edit.shared.clock.now().0;
    let params: Params<'_> = &[(&org.as_str(), Type::TEXT), (&Uuid::from(id), Type::UUID), (&now, Type::INT8)];
    if edit.tx.change(sql, params).await? == 0 {
        return Err(NOT_FOUND);
    }
    edit.changes.push(Change::Token);
    Ok(())
}

impl Tokens for PostgresStore {
    fn create_token(&self, token: Token) -> BoxFuture<'_, hookfast_core::Result<()>> {
        Box::pin(async move { Ok(create(&self.shared, &token).await?) })
    }

    fn token_cached(&self, hash: &[u8; 32]) -> Option<Arc<Token>> {
        self.shared.directory.token(hash).filter(|token| is_live(&self.shared, token))
    }

    fn token(&self, hash: [u8; 32]) -> BoxFuture<'_, hookfast_core::Result<Arc<Token>>> {
        Box::pin(async move { Ok(find(&self.shared, hash).await?) })
    }

    fn tokens(&self, org: OrgId) -> BoxFuture<'_, hookfast_core::Result<Vec<Token>>> {
        Box::pin(async move { Ok(list(&self.shared, &org).await?) })
    }

    fn revoke_token(&self, org: OrgId, id: TokenId) -> BoxFuture<'_, hookfast_core::Result<()>> {
        self.write(move |edit| Box::pin(async move { revoke(edit, &org, id).await }))
    }
}
