//! Hashes and checks passwords with Argon2id, as many at once as there are cores but one.

use std::{sync::Arc, thread::available_parallelism};

use argon2::{
    Argon2, Params,
    password_hash::{PasswordHasher as _, PasswordVerifier as _, phc::PasswordHash},
};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::{sync::Semaphore, task::spawn_blocking};

use crate::{
    error::{ApiError, FieldError},
    secrets::{SecretsError, random},
};

/// The longest password, in bytes.
pub const MAX_LENGTH: usize = 1024;
/// Characters of a password that the host makes.
const GENERATED: usize = 26;
/// How many may wait for their turn; each waits about a tenth of a second for every one before it.
const MAX_WAITING: usize = 64;

/// Hashes and checks passwords.
pub struct Passwords {
    waiting: Arc<Semaphore>,
    running: Arc<Semaphore>,
}

impl Default for Passwords {
    fn default() -> Self {
        Self::new()
    }
}

impl Passwords {
    /// One for the whole host.
    ///
    /// One core is left to everybody else, where there is more than one.
    pub fn new() -> Self {
        let cores = available_parallelism().map_or(1, usize::from).saturating_sub(1).max(1);
        Self { waiting: Arc::new(Semaphore::new(MAX_WAITING + cores)), running: Arc::new(Semaphore::new(cores)) }
    }

    /// The password's PHC string.
    ///
    /// # Errors
    /// 503 when too many wait already.
    pub async fn hash(&self, password: &SecretString) -> Result<String, ApiError> {
        let password = password.clone();
        self.run(move || {
            let hash = Argon2::default().hash_password(password.expose_secret().as_bytes());
            hash.map(|hash: PasswordHash| hash.to_string()).map_err(ApiError::internal)
        })
        .await?
    }

    /// Whether the password is the one of this PHC string. Without one, for a user that does not exist, it takes as long
    /// and answers no.
    ///
    /// # Errors
    /// 503 when too many wait already.
    pub async fn verify(&self, password: &SecretString, hash: Option<&str>) -> Result<bool, ApiError> {
        if password.expose_secret().len() > MAX_LENGTH {
            return Ok(false);
        }
        let known = hash.is_some();
        let hash = hash.map_or_else(nobodys_hash, str::to_owned);
        let password = password.clone();
        let matches = self
            .run(move || Argon2::default().verify_password(password.expose_secret().as_bytes(), hash.as_str()).is_ok())
            .await?;
        Ok(matches && known)
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, ApiError> {
        let busy = || ApiError::unavailable("busy", "too many sign-ins at once; try again").with_retry_after(2);
        let place = self.waiting.clone().try_acquire_owned().map_err(|_| busy())?;
        let turn = self.running.clone().acquire_owned().await.map_err(|_| busy())?;
        // A client that goes away does not stop the work: its turn lasts until that is done.
        let held = move || {
            let done = work();
            drop((place, turn));
            done
        };
        spawn_blocking(held).await.map_err(ApiError::internal)
    }
}

/// A PHC string that costs as much to check as a real one.
fn nobodys_hash() -> String {
    let (m, t, p) = (Params::DEFAULT_M_COST, Params::DEFAULT_T_COST, Params::DEFAULT_P_COST);
    format!("$argon2id$v=19$m={m},t={t},p={p}${}${}", "A".repeat(22), "A".repeat(43))
}

/// Checks a password that somebody wants to set. `min_length` is in bytes of UTF-8.
///
/// # Errors
/// What is wrong with it.
pub fn check_new(password: &SecretString, min_length: usize) -> Result<(), FieldError> {
    let password = password.expose_secret();
    let (code, detail) = if password.len() < min_length {
        ("too_short", format!("the password needs at least {min_length} bytes"))
    } else if password.len() > MAX_LENGTH {
        ("too_long", format!("the password may have at most {MAX_LENGTH} bytes"))
    } else if password.contains('\0') {
        ("invalid_characters", "the password may not hold NUL".into())
    } else {
        return Ok(());
    };
    Err(FieldError { field: "password".into(), code: code.into(), detail })
}

/// A random password of 130 bits, without characters that look alike or mean something to a shell.
///
/// # Errors
/// When the system gives no random bytes.
pub fn generate() -> Result<String, SecretsError> {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let bytes = random::<GENERATED>()?;
    Ok(bytes.iter().map(|byte| char::from(LETTERS[usize::from(byte % 32)])).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_right_password_of_a_real_user_passes() {
        let passwords = Passwords::new();
        let right = SecretString::from("correct horse");
        let hash = passwords.hash(&right).await.unwrap();
        assert!(hash.starts_with("$argon2id$"));
        assert!(passwords.verify(&right, Some(&hash)).await.unwrap());
        assert!(!passwords.verify(&"Correct horse".into(), Some(&hash)).await.unwrap());
        assert!(!passwords.verify(&right, None).await.unwrap());
        assert!(!passwords.verify(&right, Some("not a hash")).await.unwrap());
        assert!(!passwords.verify(&"x".repeat(MAX_LENGTH + 1).into(), Some(&hash)).await.unwrap());
    }

    #[tokio::test]
    async fn a_turn_lasts_until_the_work_is_done() {
        let passwords = Passwords::new();
        let places = || passwords.waiting.available_permits();
        let all = places();
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let work = passwords.run(move || wait.recv().is_ok());
        // The client goes away in the middle.
        assert!(tokio::time::timeout(std::time::Duration::from_millis(1), work).await.is_err());
        assert_eq!(places(), all - 1);
        go.send(()).unwrap();
        while places() < all {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn nobodys_hash_costs_what_a_real_one_costs() {
        let real = Passwords::new().hash(&"correct horse".into()).await.unwrap();
        let nobodys = nobodys_hash();
        let (real, nobodys) = (PasswordHash::new(&real).unwrap(), PasswordHash::new(&nobodys).unwrap());
        assert_eq!(real.algorithm, nobodys.algorithm);
        assert_eq!(real.version, nobodys.version);
        assert_eq!(real.params.to_string(), nobodys.params.to_string());
        assert_eq!(real.hash.map(|h| h.len()), nobodys.hash.map(|h| h.len()));
    }

    #[test]
    fn new_passwords_have_a_least_and_a_largest_length() {
        assert_eq!(check_new(&"short".into(), 8).unwrap_err().code, "too_short");
        assert_eq!(check_new(&"x".repeat(MAX_LENGTH + 1).into(), 8).unwrap_err().code, "too_long");
        assert!(check_new(&"x".repeat(MAX_LENGTH).into(), 8).is_ok());
        assert!(check_new(&"pässwörd".into(), 8).is_ok());
        assert_eq!(check_new(&"correct\0horse".into(), 8).unwrap_err().code, "invalid_characters");
    }

    #[test]
    fn generated_passwords_are_long_and_new_each_time() {
        let (a, b) = (generate().unwrap(), generate().unwrap());
        assert_ne!(a, b);
        assert_eq!(a.len(), GENERATED);
        assert!(a.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()));
    }
}
