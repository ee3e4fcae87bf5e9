//! What the documentation shows is what the files say.

use std::path::{Path, PathBuf};

use zotify_host::worker::frame::Kind;

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn pages(folder: &Path, found: &mut Vec<PathBuf>) {
    files(folder, "md", found);
}

fn files(folder: &Path, extension: &str, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, extension, found);
        } else if path.extension().is_some_and(|e| e == extension) {
            found.push(path);
        }
    }
}

/// `<!-- include: FILE -->` is followed by a code block that holds the file, to the letter.
#[test]
fn included_files_are_shown_as_they_are() {
    let mut all = vec![repository().join("README.md")];
    pages(&repository().join("docs"), &mut all);
    let mut included = Vec::new();
    for page in all {
        let text = std::fs::read_to_string(&page).unwrap();
        for part in text.split("<!-- include: ").skip(1) {
            let (file, rest) = part.split_once(" -->").unwrap();
            let code = rest.trim_start().split_once('\n').unwrap().1.split_once("\n```").unwrap().0;
            let wanted = std::fs::read_to_string(repository().join(file)).unwrap();
            assert_eq!(code.trim_end(), wanted.trim_end(), "{} shows an old {file}", page.display());
            included.push(file.to_owned());
        }
    }
    assert!(included.contains(&"examples/minimal-provider/src/lib.rs".to_owned()), "{included:?}");
}

/// The developer guide promises that a provider fits on a page.
#[test]
fn the_minimal_provider_is_small() {
    let source = std::fs::read_to_string(repository().join("examples/minimal-provider/src/lib.rs")).unwrap();
    let code = source.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with("//")).count();
    assert!(code <= 40, "{code} lines of code");
}

/// Links between pages lead somewhere.
#[test]
fn relative_links_lead_somewhere() {
    let mut all = vec![repository().join("README.md")];
    pages(&repository().join("docs"), &mut all);
    let mut broken = Vec::new();
    for page in all {
        let text = std::fs::read_to_string(&page).unwrap();
        for part in text.split("](").skip(1) {
            let Some((target, _)) = part.split_once(')') else { continue };
            let target = target.split('#').next().unwrap_or_default();
            if target.is_empty() || target.contains("://") || target.contains(' ') || target.starts_with('<') {
                continue;
            }
            if !page.parent().unwrap().join(target).exists() {
                broken.push(format!("{}: {target}", page.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

/// The frames that ADR 0002 lists are those of the code.
#[test]
fn the_frames_are_those_of_the_page() {
    let page = repository().join("docs/adr/0002-run-modes-and-worker-frames.md");
    let page = std::fs::read_to_string(page).unwrap();
    let row = |line: &str| {
        let mut cells = line.trim_matches('|').split('|').map(str::trim);
        Some((cells.next()?.parse().ok()?, cells.next()?.replace(' ', "")))
    };
    let shown: Vec<(u8, String)> = page.lines().filter_map(row).collect();
    let kinds = (0..=u8::MAX).map_while(|number| Kind::try_from(number).ok());
    let known: Vec<_> = kinds.map(|kind| (u8::from(kind), format!("{kind:?}").to_lowercase())).collect();
    assert_eq!(shown, known);
}

/// The source files that the architecture names are there: from the repository's root, or from `host/src`.
#[test]
fn the_architecture_names_files_that_exist() {
    let text = std::fs::read_to_string(repository().join("docs/ARCHITECTURE.md")).unwrap();
    let named = text.split('`').skip(1).step_by(2).filter(|name| name.ends_with(".rs") && !name.contains('<'));
    let (root, host) = (repository(), repository().join("host/src"));
    let missing: Vec<_> = named.filter(|name| !root.join(name).exists() && !host.join(name).exists()).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// What clients of the original are sent to is there, and what is not built yet is called so.
#[test]
fn every_route_of_the_original_leads_somewhere() {
    let endpoints: Vec<serde_json::Value> =
        serde_yaml_ng::from_str(&std::fs::read_to_string(repository().join("docs/endpoints.yaml")).unwrap()).unwrap();
    let page = std::fs::read_to_string(repository().join("docs/manual/coming-from-the-original.md")).unwrap();
    let rows: Vec<Vec<&str>> = page
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| line.trim_matches('|').splitn(3, " | ").map(str::trim).collect())
        .collect();
    assert!(rows.len() > 50, "{}", rows.len());
    let mut aliases = Vec::new();
    for row in rows {
        let [original, here, note] = row[..] else { panic!("three columns: {row:?}") };
        if here == "–" {
            assert!(note.len() > 20, "{original} has no reason");
            continue;
        }
        let (method, path) = here.trim_matches('`').split_once(' ').unwrap();
        let endpoint = endpoints.iter().find(|e| e["method"] == method && e["path"] == path);
        let endpoint = endpoint.unwrap_or_else(|| panic!("{original} leads to {here}, which is no endpoint"));
        let planned = endpoint["status"] == "planned";
        assert_eq!(note.starts_with("planned"), planned, "{original}: {here} is {}", endpoint["status"]);
        if note.starts_with("alias") {
            aliases.push(original.trim_matches('`').split_once(' ').unwrap().1.to_owned());
        }
    }
    let deprecated = zotify_host::middleware::deprecation::ALL.map(|route| route.path.to_owned());
    assert_eq!(aliases, deprecated);
}

/// Codes of the bundled providers, as their sources spell them.
fn codes(text: &str) -> Vec<&str> {
    let pattern = r#"(?:with_code\(|ErrorKind::\w+,|partial\(|\bcode:)\s*"([a-z_]+)"|\("([a-z]+_[a-z_]+)", [A-Z_]+\)"#;
    let matched = regex::Regex::new(pattern).unwrap();
    let source = text.split("#[cfg(test)]").next().unwrap_or_default();
    matched.captures_iter(source).filter_map(|found| Some(found.get(1).or(found.get(2))?.as_str())).collect()
}

/// Whoever meets a provider's code finds it on the page.
#[test]
fn every_code_of_a_bundled_provider_is_explained() {
    let page = std::fs::read_to_string(repository().join("docs/manual/provider-codes.md")).unwrap();
    let mut missing = std::collections::BTreeSet::new();
    let headings =
        [("local", "Local files"), ("podcast", "Podcasts"), ("spotify", "Spotify"), ("subsonic", "Subsonic")];
    assert_eq!(std::fs::read_dir(repository().join("plugins")).unwrap().count(), headings.len());
    for (plugin, heading) in headings {
        let section = page.split("\n## ").find(|section| section.starts_with(heading)).unwrap();
        let common = page.split("\n## ").nth(1).unwrap();
        let mut sources = Vec::new();
        files(&repository().join("plugins").join(plugin).join("src"), "rs", &mut sources);
        assert!(!sources.is_empty());
        for source in sources {
            let text = std::fs::read_to_string(source).unwrap();
            let known = |code: &str| [section, common].iter().any(|part| part.contains(&format!("`{code}`")));
            missing
                .extend(codes(&text).into_iter().filter(|code| !known(code)).map(|code| format!("{plugin}: {code}")));
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

/// Every capability has a row in the developer's guide, and every method of a provider is named there.
#[test]
fn the_guide_names_every_method() {
    let page = std::fs::read_to_string(repository().join("docs/plugins/developing.md")).unwrap();
    let source = std::fs::read_to_string(repository().join("plugin-api/src/provider.rs")).unwrap();
    let methods = source.lines().filter_map(|line| line.strip_prefix("    fn ")?.split_once('(')).map(|(name, _)| name);
    let missing: Vec<_> =
        methods.filter(|name| !page.contains(&format!("`{name}`")) && !page.contains(&format!("fn {name}("))).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
