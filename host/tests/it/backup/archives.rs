//! Archives that were damaged, cut, or made to do harm. None changes anything.

use std::{io::Write as _, path::Path};

use tempfile::TempDir;
use zotify_host::backup::{
    ArchiveError, Manifest,
    archive::{Archive, Writer},
    tables,
};
use zotify_host::db::Db;

use super::{configuration, on_postgres, path, program, refusal, saved};
use crate::support::TestApp;

/// An archive as bytes, and the folder of the host that it was made from.
async fn good() -> (TempDir, Vec<u8>) {
    let dir = TestApp::start().await.stop().await;
    let (_out, file) = saved(dir.path(), &[]);
    (dir, std::fs::read(file).unwrap())
}

fn opened(bytes: &[u8]) -> Result<Vec<(String, Vec<u8>)>, ArchiveError> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    let archive = Archive::open(file.path())?;
    let mut members = archive.members()?;
    members.iter()?.collect()
}

/// The members and the manifest, to be changed and written again with hashes that are right.
fn taken_apart(bytes: &[u8]) -> (Vec<(String, Vec<u8>)>, Manifest) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    (opened(bytes).unwrap(), Archive::open(file.path()).unwrap().manifest)
}

fn put_together(members: &[(String, Vec<u8>)], mut manifest: Manifest) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = Writer::new(&mut bytes);
    for (name, content) in members {
        writer.add(name, content).unwrap();
    }
    manifest.members = writer.members().to_vec();
    writer.finish(&manifest).unwrap();
    bytes
}

/// Every file of a folder with its bytes, but for the lock.
fn contents(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_type().unwrap().is_file() && entry.file_name() != "host.lock")
        .map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap()))
        .collect();
    files.sort();
    files
}

/// How many rows each table has, where that is not seen by the files.
async fn rows(folder: &Path) -> Vec<(String, i64)> {
    if !on_postgres() {
        return Vec::new();
    }
    let db = Db::connect(&configuration(folder).database.url).await.unwrap();
    let mut connection = db.read().acquire().await.unwrap();
    let mut counts = Vec::new();
    for table in tables(&mut connection).await.unwrap() {
        let sql = sqlx::AssertSqlSafe(format!("SELECT COUNT(*) FROM \"{}\"", table.name));
        counts.push((table.name, sqlx::query_scalar(sql).fetch_one(&mut *connection).await.unwrap()));
    }
    drop(connection);
    db.close().await;
    assert!(!counts.is_empty());
    counts
}

/// Has the program refuse an archive; answers why.
async fn refused(dir: &TempDir, bytes: &[u8]) -> String {
    let rows_before = rows(dir.path()).await;
    let before = contents(&dir.path().join("data"));
    let file = dir.path().join("hostile.tar");
    std::fs::write(&file, bytes).unwrap();
    let text = refusal(&program(dir.path(), &["restore", path(&file), "--force"]));
    let after = contents(&dir.path().join("data"));
    assert!(before == after, "{text}: {:?}", after.iter().map(|(name, _)| name).collect::<Vec<_>>());
    assert_eq!(rows(dir.path()).await, rows_before, "{text}");
    text
}

#[tokio::test]
async fn cut_archives_are_refused() {
    let (dir, bytes) = good().await;
    // The end of a tar is nothing but zeros.
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    for at in (0..=end).step_by(509).chain([0, 1, 511, 512, 1024, end]) {
        assert!(opened(&bytes[..at]).is_err(), "cut at {at}");
    }
    let text = refused(&dir, &bytes[..bytes.len() / 2]).await;
    assert!(text.contains("cut off") || text.contains("end of file") || text.contains("EOF"), "{text}");
    let text = refused(&dir, b"").await;
    assert!(text.contains("cut off"), "{text}");
    let text = refused(&dir, b"this is no archive").await;
    assert!(text.contains("hostile.tar") || text.contains("cut off"), "{text}");
}

#[tokio::test]
async fn changed_bits_are_noticed() {
    let (dir, bytes) = good().await;
    let whole = opened(&bytes).unwrap();
    for at in (0..bytes.len()).step_by(97) {
        let mut changed = bytes.clone();
        changed[at] ^= 1 << (at % 8);
        // A bit of the padding between members is no member's.
        assert!(opened(&changed).is_err() || opened(&changed).unwrap() == whole, "byte {at}");
    }
    let mut changed = bytes.clone();
    let role = bytes.windows(7).position(|part| part == b"\"admin\"").unwrap();
    changed[role + 1] ^= 1;
    let text = refused(&dir, &changed).await;
    assert!(text.contains("damaged: tables/"), "{text}");
}

#[tokio::test]
async fn members_of_no_backup_are_refused() {
    let (dir, bytes) = good().await;
    let (members, manifest) = taken_apart(&bytes);
    for name in ["tables", "tables/nothing/1.jsonl", "etc/passwd", "tables/sqlite_master/1.jsonl"] {
        let with = [members.as_slice(), &[(name.to_owned(), b"[1]\n".to_vec())]].concat();
        let text = refused(&dir, &put_together(&with, manifest.clone())).await;
        assert!(text.contains("which no backup does"), "{name}: {text}");
    }
    // Twice the same rows.
    let twice = [members.as_slice(), &members[members.len() - 3..]].concat();
    refused(&dir, &put_together(&twice, manifest)).await;
}

#[tokio::test]
async fn links_paths_upwards_and_lies_about_sizes_are_refused() {
    let (dir, _) = good().await;
    let raw = |kind: tar::EntryType, name: &str, size: u64| {
        let mut header = tar::Header::new_gnu();
        header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_mode(0o600);
        if kind.is_symlink() {
            header.set_link_name("/etc/passwd").unwrap();
        }
        header.set_cksum();
        let mut bytes = header.as_bytes().to_vec();
        bytes.resize(2048, 0);
        bytes
    };
    use tar::EntryType as Type;
    let text = refused(&dir, &raw(Type::Symlink, "secret.key", 0)).await;
    assert!(text.contains("secret.key") && text.contains("which no backup does"), "{text}");
    for kind in [Type::Link, Type::Directory, Type::Char, Type::Fifo, Type::GNULongName, Type::XHeader, Type::GNUSparse]
    {
        let text = refused(&dir, &raw(kind, "x", 0)).await;
        assert!(text.contains("no backup"), "{kind:?}: {text}");
    }
    let outside = dir.path().join("outside");
    refused(&dir, &raw(Type::Regular, "../outside", 512)).await;
    refused(&dir, &raw(Type::Regular, "/etc/zotify-outside", 512)).await;
    assert!(!outside.exists() && !Path::new("/etc/zotify-outside").exists());
    let text = refused(&dir, &raw(Type::Regular, "tables/users/1.jsonl", 1 << 40)).await;
    assert!(text.contains("larger than any"), "{text}");
    let text = refused(&dir, &raw(Type::Regular, "tables/users/1.jsonl", 60 << 20)).await;
    assert!(text.contains("cut off"), "{text}");
}

#[tokio::test]
async fn archives_that_do_not_fit_are_refused() {
    let (dir, bytes) = good().await;
    let (members, manifest) = taken_apart(&bytes);
    let with = |change: &dyn Fn(&mut Manifest)| {
        let mut manifest = manifest.clone();
        change(&mut manifest);
        put_together(&members, manifest)
    };
    let text = refused(&dir, &with(&|m| m.format = 2)).await;
    assert!(text.contains("format 2"), "{text}");
    let text = refused(&dir, &with(&|m| (m.version, m.schema) = ("9.9.9".into(), (1..=99).collect()))).await;
    assert!(text.contains("9.9.9") && text.contains("migration 99"), "{text}");
    let text = refused(&dir, &with(&|m| m.schema = vec![2, 4])).await;
    assert!(text.contains("gaps"), "{text}");
    let text = refused(&dir, &with(&|m| m.schema.clear())).await;
    assert!(text.contains("no schema"), "{text}");
    let text = refused(&dir, &with(&|m| m.tables[0].columns[0].name = "a\"); DROP TABLE users; --".into())).await;
    assert!(text.contains("does not fit"), "{text}");
    let text = refused(&dir, &with(&|m| m.tables[0].name = "sqlite_master".into())).await;
    assert!(text.contains("does not fit"), "{text}");
    let text = refused(&dir, &with(&|m| m.tables.iter_mut().for_each(|table| table.rows += 1))).await;
    assert!(text.contains("rows"), "{text}");
    let with_rows = |content: &[u8]| {
        let mut members = members.clone();
        let users = members.iter_mut().find(|(name, _)| name.starts_with("tables/users/")).unwrap();
        users.1 = content.to_vec();
        put_together(&members, manifest.clone())
    };
    for content in ["[]\n", "[1,2]\n", "{}\n", "no JSON\n", "[[[[[[[[[\n", &format!("[{}]\n", "1,".repeat(50_000))] {
        let text = refused(&dir, &with_rows(content.as_bytes())).await;
        assert!(text.contains("a row of users"), "{text}");
    }
}

#[tokio::test]
async fn a_foreign_key_in_the_archive_is_refused() {
    let (dir, bytes) = good().await;
    let (mut members, manifest) = taken_apart(&bytes);
    let Some((_, key)) = members.iter_mut().find(|(name, _)| name == "secret.key") else {
        // The key is configured.
        let config = dir.path().join("zotify.toml");
        let text = std::fs::read_to_string(&config).unwrap().replace("MDEyMzQ1", "NDEyMzQ1");
        std::fs::write(&config, text).unwrap();
        let text = refused(&dir, &bytes).await;
        assert!(text.contains("secrets.master_key is not the key of the archive's database"), "{text}");
        return;
    };
    *key = b"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n".to_vec();
    let text = refused(&dir, &put_together(&members, manifest)).await;
    assert!(text.contains("the key in the archive does not open its database"), "{text}");
}
