//! `zotify-host user`: users without the API.

use std::io::Read as _;

use clap::Subcommand;
use secrecy::SecretString;

use crate::{
    audit::Actor,
    auth::{
        Passwords, Role, passwords, sign_in,
        users::{self, Name, NewUser},
    },
    backup,
    config::Config,
    db::{self, Db},
    error::ApiError,
};

/// Manages users.
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Makes a user.
    Create {
        /// The user's name, 3 to 64 characters.
        name: String,
        /// The user may do everything.
        #[arg(long)]
        admin: bool,
        /// Reads the password from the first line of the standard input.
        #[arg(long, required = true)]
        password_stdin: bool,
    },
    /// Sets a user's password and ends the user's sessions.
    Passwd {
        /// The user's name.
        name: String,
        /// Reads the password from the first line of the standard input.
        #[arg(long, required = true)]
        password_stdin: bool,
    },
    /// Lists the users: name, role, state, id.
    List,
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// The password can't be read.
    #[error("the password can't be read from the standard input: {0}")]
    Input(std::io::Error),
    /// There is no such user.
    #[error("there is no user {0}")]
    NotFound(String),
    /// What was asked for can't be.
    #[error("{0}")]
    Refused(String),
    /// The database failed.
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
    /// The database's schema can't be brought up to date.
    #[error("the database can't be brought up to date: {0}")]
    Migrate(#[from] backup::UpdateError),
}

impl From<ApiError> for UserError {
    fn from(error: ApiError) -> Self {
        let fields: Vec<_> = error.problem().errors.into_iter().map(|field| field.detail).collect();
        Self::Refused(if fields.is_empty() { error.detail().to_owned() } else { fields.join("; ") })
    }
}

/// Runs a command; answers what to print.
///
/// # Errors
/// When the password or the name is refused, or the database fails.
pub async fn run(command: UserCommand, config: &Config) -> Result<String, UserError> {
    let password = match &command {
        UserCommand::List => None,
        UserCommand::Create { .. } | UserCommand::Passwd { .. } => Some(read_password()?),
    };
    let db = Db::connect(&config.database.url).await?;
    backup::migrate(config, &db).await?;
    let min_length = config.auth.password_min_length;
    let answer = match (command, password) {
        (UserCommand::Create { name, admin, .. }, Some(password)) => {
            create(&db, &name, if admin { Role::Admin } else { Role::User }, &password, min_length).await
        }
        (UserCommand::Passwd { name, .. }, Some(password)) => set_password(&db, &name, &password, min_length).await,
        _ => list(&db).await,
    };
    db.close().await;
    answer
}

/// The standard input's first line, of bounded length.
fn read_password() -> Result<SecretString, UserError> {
    let mut text = String::new();
    let limit = u64::try_from(passwords::MAX_LENGTH).unwrap_or(u64::MAX) + 2;
    std::io::stdin().lock().take(limit).read_to_string(&mut text).map_err(UserError::Input)?;
    Ok(text.lines().next().unwrap_or_default().into())
}

async fn create(
    db: &Db,
    name: &str,
    role: Role,
    password: &SecretString,
    min_length: usize,
) -> Result<String, UserError> {
    let new = NewUser { name, role, password, email: None };
    let user = users::create(db, &Passwords::new(), min_length, new).await?;
    Ok(format!("made {} {} ({})", user.role, user.name, user.id))
}

async fn set_password(db: &Db, name: &str, password: &SecretString, min_length: usize) -> Result<String, UserError> {
    let user = db::users::find_by_name(db.read(), &Name::fold(name)).await?;
    let user = user.ok_or_else(|| UserError::NotFound(name.to_owned()))?;
    passwords::check_new(password, min_length).map_err(|field| UserError::Refused(field.detail))?;
    let hash = Passwords::new().hash(password).await?;
    let mut tx = db.write().await?;
    db::users::update_password(&mut tx, &user.id, &hash).await?;
    let ended = sign_in::password_changed(&mut tx, &user.id, None, Actor::COMMAND).await?;
    tx.commit().await?;
    Ok(format!("changed the password of {}; {ended} sessions ended", user.name))
}

async fn list(db: &Db) -> Result<String, UserError> {
    let users = db::users::list(db.read()).await?;
    let lines = users.iter().map(|user| {
        let state = if user.disabled == 0 { "enabled" } else { "disabled" };
        format!("{:<24} {:<5} {:<8} {}", user.name, user.role, state, user.id)
    });
    Ok(lines.collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::{now_ms, sessions::NewSession};

    async fn db(dir: &tempfile::TempDir) -> Db {
        let db = Db::connect(&format!("sqlite://{}", dir.path().join("t.db").display())).await.unwrap();
        db.migrate().await.unwrap();
        db
    }

    #[tokio::test]
    async fn users_are_made_and_listed() {
        let dir = tempfile::tempdir().unwrap();
        let db = db(&dir).await;
        create(&db, "Anna", Role::Admin, &"correct horse".into(), 8).await.unwrap();
        create(&db, "ben", Role::User, &"correct horse".into(), 8).await.unwrap();
        let taken = create(&db, "anna", Role::User, &"correct horse".into(), 8).await.unwrap_err();
        assert_eq!(taken.to_string(), "somebody has this name already");
        let refused = create(&db, "x", Role::User, &"short".into(), 8).await.unwrap_err().to_string();
        assert!(refused.contains("3 characters") && refused.contains("8 bytes"), "{refused}");
        let list = list(&db).await.unwrap();
        let words: Vec<Vec<_>> = list.lines().map(|line| line.split_whitespace().take(3).collect()).collect();
        assert_eq!(words, [["Anna", "admin", "enabled"], ["ben", "user", "enabled"]]);
    }

    #[tokio::test]
    async fn a_new_password_ends_the_sessions() {
        let dir = tempfile::tempdir().unwrap();
        let db = db(&dir).await;
        create(&db, "anna", Role::User, &"correct horse".into(), 8).await.unwrap();
        let user = db::users::find_by_name(db.read(), "anna").await.unwrap().unwrap();
        let session = NewSession {
            id: "s".into(),
            user_id: user.id.clone(),
            kind: "api".into(),
            address: None,
            user_agent: None,
            expires_at: now_ms() + 60_000,
            cookie_hash: None,
        };
        let mut tx = db.write().await.unwrap();
        db::sessions::insert(&mut tx, &session).await.unwrap();
        tx.commit().await.unwrap();
        set_password(&db, "Anna", &"battery staple".into(), 8).await.unwrap();
        assert!(db::sessions::find_live(db.read(), "s").await.unwrap().unwrap().revoked_at.is_some());
        let hash = db::users::find(db.read(), &user.id).await.unwrap().unwrap().password_hash;
        assert!(Passwords::new().verify(&"battery staple".into(), Some(&hash)).await.unwrap());
        let unknown = set_password(&db, "nobody", &"battery staple".into(), 8).await.unwrap_err();
        assert!(matches!(unknown, UserError::NotFound(_)));
        let short = set_password(&db, "anna", &"short".into(), 8).await.unwrap_err();
        assert!(matches!(short, UserError::Refused(_)));
    }
}
