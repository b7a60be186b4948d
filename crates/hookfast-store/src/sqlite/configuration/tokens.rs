//! Access tokens: kept as hashes, ended at once.

use crate::sqlite::{SqliteStore, codec};
use crate::{Error, Result};
use hookfast_core::model::{Name, Principal, Scope, Token};
use hookfast_core::ports::{BoxFuture, Tokens};
use hookfast_core::{Error as PortError, OrgId, TokenId, UnixMs};
use rusqlite::Row;
use std::sync::Arc;

const COLUMNS: &str = "id, hash, name, org, app, created_at, expires_at";
const NOT_FOUND: Error = Error::Port(PortError::NotFound { what: "token" });

fn read(row: &Row<'_>) -> Result<Token> {
    let org: String = row.get(3)?;
    let app: Option<String> = row.get(4)?;
    let (id, name): (TokenId, String) = (TokenId::from_u128(codec::id_from(row, 0)?), row.get(2)?);
    Ok(Token {
        id,
        caller: Name::of_token(id, &name),
        name,
        hash: row.get(1)?,
        principal: Principal {
            org: org.parse().map_err(|_| Error::Damaged { what: "organisation" })?,
            scope: app.map_or(Scope::Org, |app| Scope::App(app.into())),
        },
        created_at: UnixMs(row.get(5)?),
        expires_at: row.get::<_, Option<i64>>(6)?.map(UnixMs),
    })
}

impl SqliteStore {
    fn is_live(&self, token: &Token) -> bool {
        token.expires_at.is_none_or(|at| at > self.shared.clock.wall())
    }
}

impl Tokens for SqliteStore {
    fn create_token(&self, token: Token) -> BoxFuture<'_, hookfast_core::Result<()>> {
        self.write(move |tx| {
            let app = match &token.principal.scope {
                Scope::Org => None,
                Scope::App(app) => Some(app.as_ref()),
            };
            tx.conn
                .prepare_cached(&format!("INSERT INTO tokens ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)"))?
                .execute((
                    codec::id_bytes(token.id),
                    token.hash,
                    &token.name,
                    token.principal.org.as_str(),
                    app,
                    token.created_at.0,
                    token.expires_at.map(|at| at.0),
                ))?;
            Ok(())
        })
    }

    fn token_cached(&self, hash: &[u8; 32]) -> Option<Arc<Token>> {
        self.shared.directory.token(hash).filter(|token| self.is_live(token))
    }

    fn token(&self, hash: [u8; 32]) -> BoxFuture<'_, hookfast_core::Result<Arc<Token>>> {
        let seen = self.shared.directory.changes();
        Box::pin(async move {
            let find = move |conn: &rusqlite::Connection| {
                let sql = format!("SELECT {COLUMNS} FROM tokens WHERE hash = ?1 AND revoked_at IS NULL");
                let mut statement = conn.prepare_cached(&sql)?;
                let mut rows = statement.query([hash])?;
                rows.next()?.map(read).transpose()?.ok_or(NOT_FOUND)
            };
            let token = Arc::new(self.readers.read(find).await?);
            if !self.is_live(&token) {
                return Err(PortError::NotFound { what: "token" });
            }
            self.shared.directory.put_token(&token, seen);
            Ok(token)
        })
    }

    fn tokens(&self, org: OrgId) -> BoxFuture<'_, hookfast_core::Result<Vec<Token>>> {
        self.readers.read(move |conn| {
            let sql =
                format!("SELECT {COLUMNS} FROM tokens WHERE org = ?1 AND revoked_at IS NULL ORDER BY id LIMIT 10000");
            let mut statement = conn.prepare_cached(&sql)?;
            let mut rows = statement.query([org.as_str()])?;
            let mut items = Vec::new();
            while let Some(row) = rows.next()? {
                items.push(read(row)?);
            }
            Ok(items)
        })
    }

    fn revoke_token(&self, org: OrgId, id: TokenId) -> BoxFuture<'_, hookfast_core::Result<()>> {
        self.write(move |tx| {
            let sql = "UPDATE tokens SET revoked_at = ?3 WHERE org = ?1 AND id = ?2 AND revoked_at IS NULL";
            let now = tx.shared.clock.now().0;
            let changed = tx.conn.prepare_cached(sql)?.execute((org.as_str(), codec::id_bytes(id), now))?;
            tx.directory_changed = true;
            if changed == 0 { Err(NOT_FOUND) } else { Ok(()) }
        })
    }
}
