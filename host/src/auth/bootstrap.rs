//! The first admin: a new host makes one, with a password that it writes to a private file.

use std::{io, path::PathBuf, time::Duration};

use secrecy::SecretString;

use super::{
    Role, passwords,
    users::{self, NewUser},
};
use crate::{
    App, AppState,
    audit::Actor,
    db::{self, Tx, users::User},
    error::ApiError,
    secrets::{SecretsError, write_private},
};

/// The file in the data folder that holds the first admin's password until the first sign-in.
pub const PASSWORD_FILE: &str = "admin-password";
/// The first admin's name.
pub const ADMIN: &str = "admin";
/// Who has not yet signed in for the first time, in `host_state`.
const WAITING: &str = "auth.first_admin";
/// How often a node looks whether the first admin has signed in at another.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Why there is no first admin.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// The password could not be written down.
    #[error("{path}: {source}")]
    File {
        /// Where.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The user could not be made.
    #[error(transparent)]
    User(#[from] ApiError),
    /// The system gave no random bytes.
    #[error(transparent)]
    Random(#[from] SecretsError),
    /// The database failed.
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
}

/// Makes the user `admin` where there is no user at all; answers the password, which also stands in
/// `<data_dir>/admin-password`. Print it to a terminal only.
///
/// # Errors
/// When the file or the user can't be made. Neither is left behind then.
pub async fn bootstrap_admin(app: &App) -> Result<Option<String>, BootstrapError> {
    if db::users::count(app.db.read()).await? > 0 {
        return Ok(None);
    }
    let password = passwords::generate()?;
    let secret = SecretString::from(password.clone());
    let new = NewUser { name: ADMIN, role: Role::Admin, password: &secret, email: None };
    let (user, name_key) = users::prepare(&app.passwords, 1, new).await?;
    let mut tx = app.db.write().await?;
    // Of several nodes that start at once, one makes the admin.
    db::state::lock(&mut tx, WAITING).await?;
    if db::users::count(&mut *tx).await? > 0 {
        return Ok(None);
    }
    db::state::set(&mut tx, WAITING, user.id.as_bytes()).await?;
    users::insert(&mut tx, &user, &name_key, Actor::HOST).await?;
    write_password_file(app, &password)?;
    if let Err(error) = tx.commit().await {
        remove_password_file(app).await;
        return Err(error.into());
    }
    Ok(Some(password))
}

/// Whether this is the first admin's first sign-in; it is so once.
///
/// # Errors
/// When the database fails.
pub(super) async fn take_first_sign_in(tx: &mut Tx, user: &User) -> sqlx::Result<bool> {
    if Role::parse(&user.role) != Role::Admin {
        return Ok(false);
    }
    let first = db::state::get(&mut **tx, WAITING).await?.is_some_and(|id| id == user.id.as_bytes());
    if first {
        db::state::remove(tx, WAITING).await?;
    }
    Ok(first)
}

/// Removes the file with the password once it has done its work, wherever the first sign-in was: at another node, or one
/// that was cut off before it removed the file.
pub fn start(app: &AppState) {
    let app = app.clone();
    app.tasks.clone().spawn(async move {
        let path = app.data_dir().join(PASSWORD_FILE);
        let mut tick = tokio::time::interval(LOOK_EVERY);
        while path.exists() && app.shutdown.run_until_cancelled(tick.tick()).await.is_some() {
            match db::state::get(app.db.read(), WAITING).await {
                Ok(Some(_)) => {}
                Ok(None) => return remove_password_file(&app).await,
                Err(error) => tracing::warn!("whether the first admin has signed in is not known: {error}"),
            }
        }
    });
}

/// Removes the file with the password, which has done its work.
pub(super) async fn remove_password_file(app: &App) {
    let path = app.data_dir().join(PASSWORD_FILE);
    match tokio::fs::remove_file(&path).await {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            tracing::warn!("remove {}, which holds the first admin's password: {e}", path.display());
        }
        _ => {}
    }
}

fn write_password_file(app: &App, password: &str) -> Result<(), BootstrapError> {
    let path = app.data_dir().join(PASSWORD_FILE);
    // One may be left from a database that is gone.
    let removed = std::fs::remove_file(&path).or_else(|e| match e.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(e),
    });
    removed
        .and_then(|()| write_private(&path, &format!("{password}\n")))
        .map_err(|source| BootstrapError::File { path, source })
}
