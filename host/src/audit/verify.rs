//! Finds out whether the audit log is whole.

use serde::Serialize;
use utoipa::ToSchema;

use super::{
    chain,
    marks::{self, Broken, Mark},
    witness::Witness,
};
use crate::{
    db::{
        self, Db, Tx,
        audit::{AuditRow, FullRow},
    },
    secrets::Secrets,
};

/// Rows that are read at once.
pub(super) const PAGE: i64 = 500;
/// How far from its place a row is looked for, in rows.
const FAR: i64 = 100_000;
/// What every host writes when it starts, and seals.
pub(super) const STARTED: &str = "host.started";

/// In what way the log is not what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// The row is not the one that was written here.
    Changed,
    /// The row is gone.
    Removed,
    /// The row was written at another place.
    Reordered,
    /// The row's personal part is not the one that was written.
    PersonalChanged,
    /// The log ends too early: the row and those after it are gone.
    TailRemoved,
    /// The row was not written by the host.
    Inserted,
    /// What notes the end or the start of the log is missing or forged; whether rows are missing there is not known.
    SealBroken,
}

impl FaultKind {
    /// Its name in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Removed => "removed",
            Self::Reordered => "reordered",
            Self::PersonalChanged => "personal_changed",
            Self::TailRemoved => "tail_removed",
            Self::Inserted => "inserted",
            Self::SealBroken => "seal_broken",
        }
    }
}

/// The first thing that is wrong with the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Fault {
    /// The row's place.
    pub row: i64,
    /// What is wrong with it.
    pub kind: FaultKind,
    /// One sentence for people.
    pub detail: String,
}

impl Fault {
    fn new(row: i64, kind: FaultKind, detail: impl Into<String>) -> Self {
        Self { row, kind, detail: detail.into() }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "row {}: {}: {}", self.row, self.kind.as_str(), self.detail)
    }
}

/// How the audit log stands.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct Report {
    /// Whether nothing is wrong.
    pub ok: bool,
    /// Rows that were read.
    pub entries: i64,
    /// Those among them whose personal part was erased.
    pub erased: i64,
    /// The first row that is held; those before it were removed when their time was over.
    pub first: Option<i64>,
    /// The newest row.
    pub last: Option<i64>,
    /// Up to this row the log can't be rewritten without the host's key.
    pub sealed_to: Option<i64>,
    /// The first thing that is wrong.
    pub fault: Option<Fault>,
}

/// Follows the chain from a mark on.
pub(super) struct Walk {
    pub(super) last: Mark,
    seal: Option<Mark>,
    erased: i64,
}

impl Walk {
    pub(super) fn from(start: Mark, seal: Option<Mark>) -> Self {
        Self { last: start, seal, erased: 0 }
    }

    /// Takes the next row.
    pub(super) fn step(&mut self, full: &FullRow) -> Result<(), Fault> {
        let (row, expected) = (&full.row, self.last.seq.saturating_add(1));
        if row.seq > expected {
            return Err(Fault::new(expected, FaultKind::Removed, format!("the next row is {}", row.seq)));
        }
        if row.seq < expected {
            return Err(Fault::new(row.seq, FaultKind::Inserted, "it was removed when its time was over"));
        }
        if chain::hash(row) != row.hash {
            return Err(displaced(row));
        }
        if row.previous_hash != self.last.hash {
            let detail = "it does not follow the row before it: one of the two was replaced";
            return Err(Fault::new(row.seq, FaultKind::Changed, detail));
        }
        if self.seal.as_ref().is_some_and(|seal| seal.seq == row.seq && seal.hash != row.hash) {
            let detail = "it, or a row before it, was rewritten after the host had sealed it";
            return Err(Fault::new(row.seq, FaultKind::Changed, detail));
        }
        match full.personal() {
            None => self.erased += 1,
            Some(personal) if chain::personal_hash(&personal) == row.personal_hash => {}
            Some(_) => {
                let detail = "the personal part does not have the hash that the row holds";
                return Err(Fault::new(row.seq, FaultKind::PersonalChanged, detail));
            }
        }
        self.last = Mark { seq: row.seq, hash: row.hash.clone() };
        Ok(())
    }

    /// Whether the log ends where it should.
    pub(super) fn end(&self, head: Option<&Mark>) -> Result<(), Fault> {
        let cut = |seq: i64| {
            let detail = format!("the log ends before row {seq}, which was written");
            Fault::new(self.last.seq.saturating_add(1), FaultKind::TailRemoved, detail)
        };
        if let Some(seal) = self.seal.as_ref().filter(|seal| seal.seq > self.last.seq) {
            return Err(cut(seal.seq));
        }
        match head {
            Some(head) if *head == self.last => Ok(()),
            Some(head) if head.seq > self.last.seq => Err(cut(head.seq)),
            Some(head) if head.seq < self.last.seq => Err(Fault::new(
                head.seq.saturating_add(1),
                FaultKind::Inserted,
                "the host wrote none after the row before it",
            )),
            Some(head) => {
                Err(Fault::new(head.seq, FaultKind::Changed, "the newest row is not the one that was written"))
            }
            None if self.last.seq == 0 => Ok(()),
            None => Err(Fault::new(self.last.seq, FaultKind::SealBroken, "where the log ends is noted nowhere")),
        }
    }
}

/// What became of a row whose hash is not its own: it was changed, or it stood elsewhere.
fn displaced(row: &AuditRow) -> Fault {
    let mut other = row.clone();
    let near = row.seq.saturating_sub(FAR).max(1)..row.seq.saturating_add(FAR);
    for seq in near {
        other.seq = seq;
        if chain::hash(&other) == row.hash {
            return Fault::new(row.seq, FaultKind::Reordered, format!("this was row {seq}"));
        }
    }
    Fault::new(row.seq, FaultKind::Changed, "its columns do not have the hash that it holds")
}

/// Reads the whole log, some rows at a time, as it stands at this moment.
///
/// # Errors
/// When the database fails.
pub async fn verify(db: &Db, secrets: &Secrets, witness: &Witness) -> sqlx::Result<Report> {
    let known = witness.sealed().await;
    let mut tx = db.snapshot().await?;
    let mut report = Report::default();
    let anchor = marks::sealed(&mut *tx, secrets, marks::ANCHOR).await?;
    let seal = marks::sealed(&mut *tx, secrets, marks::SEAL).await?;
    let (Ok(anchor), Ok(seal)) = (anchor, seal) else {
        report.fault = Some(forged());
        return Ok(report);
    };
    report.sealed_to = seal.as_ref().map(|seal| seal.seq);
    let head = marks::head(&mut *tx).await?;
    let start = anchor.unwrap_or_default();
    let mut walk = Walk::from(start, seal.clone());
    let (mut after, mut host_ran) = (i64::MIN, false);
    loop {
        let rows = db::audit::scan(&mut *tx, after, PAGE).await?;
        let Some(newest) = rows.last().map(|full| full.row.seq) else { break };
        after = newest;
        report.first = report.first.or(rows.first().map(|full| full.row.seq));
        for full in &rows {
            host_ran |= full.row.action == STARTED;
            if let Err(fault) = walk.step(full) {
                report.fault = Some(fault);
                return Ok(report);
            }
            report.entries += 1;
        }
        (report.last, report.erased) = (Some(newest), walk.erased);
    }
    report.fault = walk.end(head.as_ref()).err();
    if report.fault.is_none() && seal.is_none() && host_ran {
        report.fault = Some(unsealed(walk.last.seq));
    }
    if report.fault.is_none() {
        report.fault = notes(&mut tx, secrets, known.as_ref()).await?.err();
    }
    report.ok = report.fault.is_none();
    Ok(report)
}

pub(super) fn forged() -> Fault {
    Fault::new(
        0,
        FaultKind::SealBroken,
        "what notes the start or the end of the log was not sealed with this host's key",
    )
}

pub(super) fn unsealed(row: i64) -> Fault {
    Fault::new(row, FaultKind::SealBroken, "the host sealed the log when it started, and the seal is gone")
}

/// Reads the anchor and the seal, and checks them and the log against what this host knows was sealed.
///
/// # Errors
/// When the database fails; within, what is wrong.
pub(super) async fn notes(
    tx: &mut Tx,
    secrets: &Secrets,
    known: Option<&Mark>,
) -> sqlx::Result<Result<(Option<Mark>, Option<Mark>), Fault>> {
    let anchor = marks::sealed(&mut **tx, secrets, marks::ANCHOR).await?;
    let seal = marks::sealed(&mut **tx, secrets, marks::SEAL).await?;
    let (Ok(anchor), Ok(seal)) = (anchor, seal) else { return Ok(Err(forged())) };
    let Some(known) = known else { return Ok(Ok((anchor, seal))) };
    if seal.as_ref().is_none_or(|seal| seal.seq < known.seq) {
        let detail = "this host knows that the log was sealed up to here, and the seal is gone or an older one";
        return Ok(Err(Fault::new(known.seq, FaultKind::SealBroken, detail)));
    }
    let removed = anchor.as_ref().is_some_and(|anchor| anchor.seq >= known.seq);
    if removed || db::audit::hash_at(&mut **tx, known.seq).await?.as_ref() == Some(&known.hash) {
        return Ok(Ok((anchor, seal)));
    }
    let detail = "it is not the row that this host knows was sealed";
    Ok(Err(Fault::new(known.seq, FaultKind::Changed, detail)))
}

/// Follows the chain from the seal to the end, and seals that where it is whole. A seal that is gone, or older than the
/// one that this host knows, is not made anew.
///
/// # Errors
/// When the database fails; within, what is wrong. The seal then stays where it is.
pub async fn advance_seal(db: &Db, secrets: &Secrets, witness: &Witness) -> sqlx::Result<Result<(), Fault>> {
    let mut known = witness.lock().await;
    let mut tx = db.snapshot().await?;
    let seal = match notes(&mut tx, secrets, known.sealed.as_ref()).await? {
        Ok((_, Some(seal))) => seal,
        Ok((_, None)) => return Ok(Err(unsealed(0))),
        Err(fault) => return Ok(Err(fault)),
    };
    let head = marks::head(&mut *tx).await?;
    let end = match follow(&mut tx, seal.clone(), head.as_ref()).await? {
        Ok(end) => end,
        Err(fault) => return Ok(Err(fault)),
    };
    tx.rollback().await?;
    if end != seal {
        set_seal(db, secrets, &end).await?;
    }
    known.sealed = Some(end.clone());
    if known.kept.as_ref() != Some(&end) && db.is_flushed().await? {
        match witness.keep(&end) {
            Ok(()) => known.kept = Some(end),
            Err(error) => tracing::warn!("the seal of the audit log is not kept in the data folder: {error}"),
        }
    }
    Ok(Ok(()))
}

/// Follows the chain from a mark to the end.
async fn follow(tx: &mut Tx, start: Mark, head: Option<&Mark>) -> sqlx::Result<Result<Mark, Fault>> {
    let mut walk = Walk::from(start, None);
    loop {
        let rows = db::audit::scan(&mut **tx, walk.last.seq, PAGE).await?;
        if rows.is_empty() {
            break;
        }
        if let Err(fault) = rows.iter().try_for_each(|full| walk.step(full)) {
            return Ok(Err(fault));
        }
    }
    Ok(walk.end(head).map(|()| walk.last))
}

/// Whether no host has started on this log yet. Only then may the seal be missing.
pub(super) async fn is_new(tx: &mut Tx, secrets: &Secrets) -> sqlx::Result<bool> {
    let unsealed = |mark| matches!(mark, Ok(None));
    Ok(unsealed(marks::sealed(&mut **tx, secrets, marks::SEAL).await?)
        && unsealed(marks::sealed(&mut **tx, secrets, marks::ANCHOR).await?)
        && !db::audit::is_there(&mut **tx, STARTED).await?)
}

/// Seals a place, unless another node has sealed a later one.
async fn set_seal(db: &Db, secrets: &Secrets, mark: &Mark) -> sqlx::Result<()> {
    let mut tx = db.write().await?;
    db::state::lock(&mut tx, marks::SEAL).await?;
    let later = match marks::sealed(&mut *tx, secrets, marks::SEAL).await? {
        Ok(seal) => seal.is_none_or(|seal| seal.seq < mark.seq),
        Err(Broken) => false,
    };
    if later {
        marks::set_sealed(&mut tx, secrets, marks::SEAL, mark).await?;
    }
    tx.commit().await
}
