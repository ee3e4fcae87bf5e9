//! `plugin enable` and `plugin disable`: one value in the configuration file.

use std::{io::Write as _, path::Path};

use toml_edit::{DocumentMut, Item, value};

use serde_json::json;

use super::Failure;
use crate::{
    audit::{self, Actor, Entry, Outcome},
    config::Config,
};

/// Sets `enabled` of an instance, leaves the rest of the file as it is, and puts it on record.
pub(super) async fn run(config: &Config, id: &str, enabled: bool) -> Result<String, Failure> {
    let Some(file) = &config.file else {
        return Err(Failure::usage("there is no configuration file; write one with `zotify-host config init`"));
    };
    let text = std::fs::read_to_string(file)?;
    let mut document: DocumentMut = text.parse().map_err(|e| Failure::usage(format!("{}: {e}", file.display())))?;
    let Some(instance) = find(&mut document, id) else {
        return Err(Failure::usage(missing(config, id)));
    };
    let now = instance.get("enabled").and_then(Item::as_bool).unwrap_or(true);
    let word = if enabled { "on" } else { "off" };
    if now == enabled {
        return Ok(format!("{id} is {word} already."));
    }
    instance["enabled"] = value(enabled);
    replace(file, &document.to_string())?;
    put_on_record(config, id, enabled).await.map_err(|failure| {
        Failure::new(format!("{id} is switched {word}, but the audit log does not know of it: {failure}"))
    })?;
    Ok(format!("{id} is switched {word} in {}.\nRestart the host to make it so.", file.display()))
}

async fn put_on_record(config: &Config, id: &str, enabled: bool) -> Result<(), Failure> {
    let db = super::open(config).await?;
    let mut tx = db.write().await?;
    let action = if enabled { "instance.enabled" } else { "instance.disabled" };
    let (data, personal) = (json!({ "instance": id }), json!({}));
    let entry = Entry { action, outcome: Outcome::Ok, actor: Actor::COMMAND, user: None, data, personal };
    audit::record(&mut tx, entry).await?;
    tx.commit().await?;
    db.close().await;
    Ok(())
}

fn find<'a>(document: &'a mut DocumentMut, id: &str) -> Option<&'a mut Item> {
    let section = ["providers", "automations"].into_iter().find(|section| {
        document.get(section).and_then(Item::as_table_like).is_some_and(|table| table.contains_key(id))
    })?;
    document.get_mut(section)?.get_mut(id)
}

fn missing(config: &Config, id: &str) -> String {
    let ids: Vec<_> = config.providers.keys().chain(config.automations.keys()).collect();
    if ids.iter().any(|known| *known == id) {
        return format!("{id} is set by the environment, not by the file; change it there");
    }
    let nearest = ids.into_iter().min_by_key(|known| strsim::damerau_levenshtein(known, id));
    match nearest {
        Some(nearest) => format!("no instance has the id {id}; is {nearest} meant?"),
        None => format!("no instance has the id {id}; add [providers.{id}] with plugin = \"…\" to the file"),
    }
}

/// Puts a text into the place of a file, whose rights stay.
fn replace(file: &Path, text: &str) -> std::io::Result<()> {
    // The file itself, where a link leads to it.
    let file = file.canonicalize()?;
    let draft = file.with_extension("toml.tmp");
    let mut writing = std::fs::File::create(&draft)?;
    writing.set_permissions(std::fs::metadata(&file)?.permissions())?;
    writing.write_all(text.as_bytes())?;
    writing.sync_all()?;
    std::fs::rename(&draft, &file)
}
