//! The archive: a tar of plain files. The last but one is the manifest with the hash of every other, the last the
//! manifest's own hash, so that an archive that was cut is seen to be.
//!
//! Nothing is ever unpacked by the name that an archive gives it: members are read into memory, one by one.

use std::{
    fs::File,
    io::{self, BufReader, Read, Seek as _, SeekFrom, Write},
    path::{Path, PathBuf},
};

use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use tar::{Builder, EntryType, Header};

use super::{BackupError, FORMAT, Manifest};

/// The manifest's name.
const MANIFEST: &str = "manifest.json";
/// The name of its hash.
const SEAL: &str = "manifest.sha256";
/// The largest member, in bytes. Tables are cut into far smaller ones.
const LARGEST: u64 = 64 << 20;
/// The most members.
const MOST: usize = 1 << 20;

/// A member of an archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its name, with `/` between folders.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of its bytes, in hex.
    pub sha256: String,
}

impl Member {
    fn of(path: &str, bytes: &[u8]) -> Self {
        Self { path: path.to_owned(), bytes: bytes.len() as u64, sha256: sha256(bytes) }
    }
}

/// What is wrong with an archive.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// It can't be read.
    #[error("{path}: {source}")]
    File {
        /// Which archive.
        path: PathBuf,
        /// What the system says, or what is no tar.
        source: io::Error,
    },
    /// The manifest is not there: it comes last.
    #[error("the archive is cut off, or is no backup of this program")]
    Cut,
    /// A member is not as it was written.
    #[error("the archive is damaged: {0} is not as it was written; use another backup")]
    Damaged(String),
    /// Something that no backup holds.
    #[error("the archive holds {0:?}, which no backup does")]
    Foreign(String),
    /// More than can be meant.
    #[error("the archive's member {0:?} is larger than any in a backup")]
    TooLarge(String),
    /// Written by a later program.
    #[error("the archive has format {0}; a newer version of the host made it, and can restore it")]
    Newer(u32),
}

/// Writes an archive.
pub struct Writer<W: Write> {
    tar: Builder<W>,
    members: Vec<Member>,
}

impl<W: Write> Writer<W> {
    /// Starts one.
    pub fn new(out: W) -> Self {
        Self { tar: Builder::new(out), members: Vec::new() }
    }

    /// Adds a member.
    ///
    /// # Errors
    /// When it can't be written; the path is empty, since the writer has no name.
    pub fn add(&mut self, path: &str, bytes: &[u8]) -> Result<(), BackupError> {
        self.append(path, bytes)?;
        self.members.push(Member::of(path, bytes));
        Ok(())
    }

    /// What was added so far.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Adds the manifest and ends the archive.
    ///
    /// # Errors
    /// As [`Writer::add`].
    pub fn finish(mut self, manifest: &Manifest) -> Result<(), BackupError> {
        let text =
            serde_json::to_vec(manifest).map_err(|e| BackupError::File { path: PathBuf::new(), source: e.into() })?;
        self.append(MANIFEST, &text)?;
        self.append(SEAL, sha256(&text).as_bytes())?;
        let written = self.tar.into_inner().and_then(|mut out| out.flush());
        written.map_err(BackupError::file(Path::new("")))
    }

    fn append(&mut self, path: &str, bytes: &[u8]) -> Result<(), BackupError> {
        let mut header = Header::new_ustar();
        let written = header.set_path(path).and_then(|()| {
            header.set_size(bytes.len() as u64);
            header.set_mode(0o600);
            header.set_entry_type(EntryType::Regular);
            header.set_cksum();
            self.tar.append(&header, bytes)
        });
        written.map_err(BackupError::file(Path::new("")))
    }
}

/// An archive whose every byte was checked.
#[derive(Debug)]
pub struct Archive {
    file: File,
    path: PathBuf,
    /// What it says of itself.
    pub manifest: Manifest,
}

impl Archive {
    /// Reads an archive from end to end and checks it. Writes nothing.
    ///
    /// # Errors
    /// Whatever is wrong with it.
    pub fn open(path: &Path) -> Result<Self, ArchiveError> {
        let failed = |source| ArchiveError::File { path: path.to_owned(), source };
        let file = File::open(path).map_err(failed)?;
        let mut members: Vec<Member> = Vec::new();
        let mut manifest = None;
        read(&file, path, |name, bytes| {
            match (name, &manifest) {
                (MANIFEST, None) => manifest = Some((bytes, None)),
                (SEAL, Some((text, None))) => {
                    let seal = bytes == sha256(text).as_bytes();
                    manifest = manifest.take().map(|(text, _)| (text, Some(seal)));
                }
                (_, None) if members.len() < MOST => members.push(Member::of(name, &bytes)),
                _ => return Err(ArchiveError::Foreign(name.to_owned())),
            }
            Ok(())
        })?;
        let text = match manifest {
            Some((text, Some(true))) => text,
            Some((_, Some(false))) => return Err(ArchiveError::Damaged(MANIFEST.into())),
            _ => return Err(ArchiveError::Cut),
        };
        let manifest = parse(&text)?;
        compare(&manifest.members, &members)?;
        Ok(Self { file, path: path.to_owned(), manifest })
    }

    /// Hands every member to a function, in order, again checked.
    ///
    /// # Errors
    /// When the file changed since it was opened, or the function's.
    pub fn members(&self) -> Result<Members<'_>, ArchiveError> {
        let failed = |source| ArchiveError::File { path: self.path.clone(), source };
        (&self.file).seek(SeekFrom::Start(0)).map_err(failed)?;
        Ok(Members { tar: tar::Archive::new(BufReader::with_capacity(1 << 18, &self.file)), archive: self })
    }

    /// The bytes of one member, if it is there.
    ///
    /// # Errors
    /// When the file changed since it was opened.
    pub fn member(&self, name: &str) -> Result<Option<Vec<u8>>, ArchiveError> {
        let mut members = self.members()?;
        for next in members.iter()? {
            let (found, bytes) = next?;
            if found == name {
                return Ok(Some(bytes));
            }
        }
        Ok(None)
    }
}

/// The members of an archive, from its beginning.
pub struct Members<'a> {
    tar: tar::Archive<BufReader<&'a File>>,
    archive: &'a Archive,
}

impl Members<'_> {
    /// Reads one after the other, without the manifest: names and bytes.
    ///
    /// # Errors
    /// When the file can't be read.
    pub fn iter(&mut self) -> Result<impl Iterator<Item = Result<(String, Vec<u8>), ArchiveError>>, ArchiveError> {
        let path = self.archive.path.clone();
        let entries = self.tar.entries().map_err(|source| ArchiveError::File { path: path.clone(), source })?;
        let members = &self.archive.manifest.members;
        Ok(entries.raw(true).zip(members).map(move |(entry, wanted)| {
            let (name, bytes) = content(entry, &path)?;
            if Member::of(&name, &bytes) == *wanted { Ok((name, bytes)) } else { Err(ArchiveError::Damaged(name)) }
        }))
    }
}

fn read(
    file: &File,
    path: &Path,
    mut each: impl FnMut(&str, Vec<u8>) -> Result<(), ArchiveError>,
) -> Result<(), ArchiveError> {
    let mut tar = tar::Archive::new(BufReader::with_capacity(1 << 18, file));
    let entries = tar.entries().map_err(|source| ArchiveError::File { path: path.to_owned(), source })?;
    for entry in entries.raw(true) {
        let (name, bytes) = content(entry, path)?;
        each(&name, bytes)?;
    }
    Ok(())
}

/// A member's name and bytes. Raw: names and sizes in extension headers are members of a kind that no backup holds.
fn content(entry: io::Result<tar::Entry<'_, impl Read>>, path: &Path) -> Result<(String, Vec<u8>), ArchiveError> {
    let failed = |source| ArchiveError::File { path: path.to_owned(), source };
    let entry = entry.map_err(failed)?;
    let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
    if entry.header().entry_type() != EntryType::Regular {
        return Err(ArchiveError::Foreign(name));
    }
    let size = entry.size();
    if size > LARGEST {
        return Err(ArchiveError::TooLarge(name));
    }
    // What is there counts, not what is said: the buffer grows with the bytes.
    let mut bytes = Vec::new();
    entry.take(LARGEST).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 == size { Ok((name, bytes)) } else { Err(ArchiveError::Cut) }
}

fn parse(text: &[u8]) -> Result<Manifest, ArchiveError> {
    #[derive(Deserialize)]
    struct Format {
        format: u32,
    }
    let damaged = |_| ArchiveError::Damaged(MANIFEST.into());
    let Format { format } = serde_json::from_slice(text).map_err(damaged)?;
    if format > FORMAT {
        return Err(ArchiveError::Newer(format));
    }
    serde_json::from_slice(text).map_err(damaged)
}

/// Whether the members are those that the manifest names, each once.
fn compare(wanted: &[Member], found: &[Member]) -> Result<(), ArchiveError> {
    if let Some((_, found)) = wanted.iter().zip(found).find(|(wanted, found)| wanted != found) {
        return Err(ArchiveError::Damaged(found.path.clone()));
    }
    match wanted.len().cmp(&found.len()) {
        std::cmp::Ordering::Less => Err(ArchiveError::Foreign(found[wanted.len()].path.clone())),
        std::cmp::Ordering::Greater => Err(ArchiveError::Cut),
        std::cmp::Ordering::Equal => Ok(()),
    }
}

fn sha256(bytes: &[u8]) -> String {
    digest(&SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
