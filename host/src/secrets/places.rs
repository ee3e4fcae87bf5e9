//! Where sealed values are kept. What is sealed in another place has to be named here: a rotation that meets a value of
//! the old key after it went through the list ends without having changed anything.

use sqlx::{AssertSqlSafe, Row as _};

use super::{CANARY, FORMAT, Secrets, rotate::RotateError};
use crate::{
    audit::marks,
    auth::tokens,
    backup::{self, Kind},
    connect,
    db::{self, Tx, credentials},
};

/// A table's column with sealed values.
struct Place {
    table: &'static str,
    /// Answers the rows' names and their values.
    select: &'static str,
    /// Sets the value `$1` of the row `$2`.
    update: &'static str,
    /// Removes all.
    delete: &'static str,
    /// What the value of a row was sealed for.
    context: fn(&str) -> String,
}

const PLACES: [Place; 4] = [
    Place {
        table: "host_state",
        select: "SELECT key, value FROM host_state WHERE key IN ('secrets.canary', 'auth.link_key', 'audit.seal', 'audit.anchor')",
        update: "UPDATE host_state SET value = $1 WHERE key = $2",
        delete: "DELETE FROM host_state WHERE key IN ('secrets.canary', 'auth.link_key', 'audit.seal', 'audit.anchor')",
        context: str::to_owned,
    },
    Place {
        table: "signing_keys",
        select: "SELECT kid, sealed FROM signing_keys",
        update: "UPDATE signing_keys SET sealed = $1 WHERE kid = $2",
        delete: "DELETE FROM signing_keys",
        context: tokens::keys::context,
    },
    Place {
        table: "account_credentials",
        select: "SELECT account_id, sealed FROM account_credentials",
        update: "UPDATE account_credentials SET sealed = $1 WHERE account_id = $2",
        delete: "DELETE FROM account_credentials",
        context: credentials::context,
    },
    Place {
        table: "setup_flows",
        select: "SELECT id, sealed FROM setup_flows WHERE sealed IS NOT NULL",
        update: "UPDATE setup_flows SET sealed = $1 WHERE id = $2",
        delete: "DELETE FROM setup_flows WHERE sealed IS NOT NULL",
        context: connect::context,
    },
];

/// Whoever's credentials are gone has to sign in again.
const SIGN_IN_AGAIN: &str =
    "UPDATE accounts SET state = 'auth_required', state_code = 'secrets_reset', next_pull_at = NULL,
       state_detail = 'the secrets of this server were given up, and the sign-in with them'
     WHERE id IN (SELECT account_id FROM account_credentials)";

/// What plugins keep is theirs, and nothing that the host sealed.
const OF_PLUGINS: &str = "plugin_kv";

/// Seals everything with another key; answers how many values there were.
pub(super) async fn reseal(tx: &mut Tx, old: &Secrets, new: &Secrets) -> Result<u64, RotateError> {
    let mut count = 0;
    for place in &PLACES {
        let rows: Vec<(String, Vec<u8>)> = sqlx::query_as(place.select).fetch_all(&mut **tx).await?;
        for (name, sealed) in rows {
            let context = (place.context)(&name);
            let damaged = |_| RotateError::Damaged { table: place.table, row: name.clone() };
            let plain = old.open(&context, &sealed).map_err(damaged)?;
            let sealed = new.seal(&context, &plain)?;
            sqlx::query(place.update).bind(sealed).bind(name).execute(&mut **tx).await?;
            count += 1;
        }
    }
    nothing_left(tx, old).await?;
    Ok(count)
}

/// Looks for values of a key in all columns that hold bytes.
async fn nothing_left(tx: &mut Tx, old: &Secrets) -> Result<(), RotateError> {
    let mut label = vec![FORMAT];
    label.extend_from_slice(&old.id);
    for table in backup::tables(tx).await.map_err(Box::new)?.into_iter().filter(|table| table.name != OF_PLUGINS) {
        for column in table.columns.iter().filter(|column| column.kind == Kind::Bytes) {
            let (name, column) = (&table.name, &column.name);
            let sql = format!("SELECT COUNT(*) FROM \"{name}\" WHERE substr(\"{column}\", 1, {}) = $1", label.len());
            let found: i64 =
                sqlx::query(AssertSqlSafe(sql)).bind(label.clone()).fetch_one(&mut **tx).await?.try_get(0)?;
            if found > 0 {
                return Err(RotateError::Unlisted { table: name.clone(), column: column.clone() });
            }
        }
    }
    Ok(())
}

/// Drops everything that was sealed, and starts anew with a key; answers how many values there were.
pub(super) async fn give_up(tx: &mut Tx, new: &Secrets) -> Result<u64, RotateError> {
    let mut count = 0;
    sqlx::query(SIGN_IN_AGAIN).execute(&mut **tx).await?;
    for place in &PLACES {
        count += sqlx::query(place.delete).execute(&mut **tx).await?.rows_affected();
    }
    db::state::set(tx, CANARY, &new.seal(CANARY, b"zotify")?).await?;
    marks::anchor_anew(tx, new).await?;
    Ok(count)
}
