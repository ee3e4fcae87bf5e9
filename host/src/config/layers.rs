//! The sources, laid over one another: each layer replaces what the one before it said.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fmt::{self, Display, Formatter},
    fs,
    io::{ErrorKind, Read},
    path::{Path, PathBuf},
};

use serde::Serialize;
use serde_json::{Map, Value};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{Problem, env};

/// The largest file that is read, in bytes.
const MAX_FILE: u64 = 1024 * 1024;

/// Where a value came from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(tag = "from", rename_all = "snake_case")]
pub enum Source {
    /// Nobody set it.
    #[default]
    Default,
    /// The configuration file.
    File {
        /// Its name.
        name: String,
        /// The line, from 1.
        line: usize,
    },
    /// The `.env` file.
    DotEnv {
        /// The variable in it.
        variable: String,
    },
    /// The environment.
    Environment {
        /// The variable.
        variable: String,
    },
}

impl Display for Source {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { name, line } => write!(f, "{name}:{line}"),
            Self::DotEnv { variable } => write!(f, ".env {variable}"),
            Self::Environment { variable } => write!(f, "environment {variable}"),
        }
    }
}

/// Where values came from, by JSON pointer.
pub(super) type Sources = BTreeMap<String, Source>;

/// The sources read so far.
pub(super) struct Layers {
    file: Option<PathBuf>,
    value: Value,
    sources: Sources,
    problems: Vec<Problem>,
}

impl Layers {
    /// Nothing read yet.
    pub(super) fn new(file: Option<&Path>) -> Self {
        let value = Value::Object(Map::new());
        Self { file: file.map(Path::to_owned), value, sources: Sources::new(), problems: Vec::new() }
    }

    /// Reads the configuration file, if there is one.
    pub(super) fn add_file(&mut self) {
        let Some(file) = self.file.clone() else { return };
        match read_text(&file) {
            Ok(text) => self.add_toml(&text),
            Err(e) => self.problem(file.display().to_string(), format!("can't be read: {e}")),
        }
    }

    /// Reads a TOML text.
    pub(super) fn add_toml(&mut self, text: &str) {
        let name = self.file.as_deref().and_then(Path::file_name);
        let name = name.map_or_else(|| "configuration".into(), |name| name.to_string_lossy().into_owned());
        let (table, errors) = DeTable::parse_recoverable(text);
        let mut reader = TomlReader { name, lines: line_starts(text), sources: Sources::new(), problems: Vec::new() };
        for error in errors {
            let at = error.span().map_or(0, |span| span.start);
            reader.problem(at, None, error.message().replace('\n', "; "));
        }
        if reader.problems.is_empty() {
            self.value = reader.table(table.into_inner(), "");
        }
        self.sources.extend(reader.sources);
        self.problems.extend(reader.problems);
    }

    /// Reads the `.env` file at `path`, if there is one.
    pub(super) fn add_dot_env(&mut self, path: &Path) {
        let text = match read_text(path) {
            Ok(text) => text,
            Err(e) if e.kind() == ErrorKind::NotFound => return,
            Err(e) => return self.problem(path.display().to_string(), format!("can't be read: {e}")),
        };
        self.add_dot_env_text(&text);
    }

    /// Reads the text of an `.env` file.
    pub(super) fn add_dot_env_text(&mut self, text: &str) {
        let mut variables = Vec::new();
        for entry in dotenvy::from_read_iter(text.as_bytes()) {
            match entry {
                Ok((name, value)) => variables.push((name.into(), value.into())),
                // The line itself may hold a secret, so its number has to do.
                Err(dotenvy::Error::LineParse(bad, _)) => {
                    let line =
                        text.lines().position(|line| !bad.is_empty() && line.trim_end().ends_with(bad.trim_end()));
                    let place = line.map_or_else(|| ".env".into(), |index| format!(".env:{}", index + 1));
                    self.problem(place, "is not of the form NAME=value; quote values with spaces".into());
                }
                Err(_) => return self.problem(".env".into(), "can't be read".into()),
            }
        }
        self.add_variables(variables, |variable| Source::DotEnv { variable });
    }

    /// Reads the environment.
    pub(super) fn add_environment(&mut self, variables: impl IntoIterator<Item = (OsString, OsString)>) {
        self.add_variables(variables.into_iter().collect(), |variable| Source::Environment { variable });
    }

    fn add_variables(&mut self, variables: Vec<(OsString, OsString)>, source: fn(String) -> Source) {
        let (settings, problems) = env::settings(variables);
        self.problems.extend(problems);
        for setting in settings {
            let source = source(setting.variable);
            set(&mut self.value, &mut self.sources, "", &setting.path, setting.value, &source);
        }
    }

    fn problem(&mut self, place: String, detail: String) {
        self.problems.push(Problem { place: Some(place), key: None, detail });
    }

    /// What was read.
    pub(super) fn finish(self) -> (Value, Sources, Vec<Problem>) {
        (self.value, self.sources, self.problems)
    }
}

/// Reads a text file of bounded size.
pub(super) fn read_text(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    fs::File::open(path)?.take(MAX_FILE + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_FILE {
        return Err(std::io::Error::new(ErrorKind::FileTooLarge, "it is larger than 1 MiB"));
    }
    Ok(text)
}

/// Puts a value at a path below `pointer`. Tables are merged key by key, everything else is replaced.
fn set(at: &mut Value, sources: &mut Sources, pointer: &str, path: &[String], value: Value, source: &Source) {
    if let Some((key, rest)) = path.split_first() {
        if at.is_null() {
            *at = Value::Object(Map::new());
        }
        // No variable sets the whole: a fault of the whole is not its fault.
        if !pointer.is_empty() {
            sources.entry(pointer.to_owned()).or_insert_with(|| source.clone());
        }
        // What should be a table and is none stays, and is refused where it stands.
        if let Value::Object(table) = at {
            let entry = table.entry(key).or_insert(Value::Null);
            set(entry, sources, &join(pointer, key), rest, value, source);
        }
        return;
    }
    if let (Value::Object(_), Value::Object(new)) = (&*at, &value) {
        for (key, value) in new {
            set(at, sources, pointer, std::slice::from_ref(key), value.clone(), source);
        }
        return;
    }
    let below = format!("{pointer}/");
    sources.retain(|key, _| !key.starts_with(&below));
    record(sources, pointer, &value, source);
    *at = value;
}

/// Notes the source of a value and of everything in it.
fn record(sources: &mut Sources, pointer: &str, value: &Value, source: &Source) {
    sources.insert(pointer.to_owned(), source.clone());
    for (key, value) in value.as_object().into_iter().flatten() {
        record(sources, &join(pointer, key), value, source);
    }
}

/// A JSON pointer one key deeper.
pub(super) fn join(pointer: &str, key: &str) -> String {
    format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"))
}

/// The keys of a JSON pointer.
pub(super) fn keys(pointer: &str) -> impl Iterator<Item = String> {
    pointer.split('/').skip(1).map(|key| key.replace("~1", "/").replace("~0", "~"))
}

/// A JSON pointer as people write keys: `server.listen`, `plugins.directories[1]`.
pub(super) fn dotted(pointer: &str) -> String {
    let mut text = String::new();
    for key in keys(pointer) {
        if key.bytes().all(|b| b.is_ascii_digit()) && !key.is_empty() {
            text.push_str(&format!("[{key}]"));
            continue;
        }
        if !text.is_empty() {
            text.push('.');
        }
        text.push_str(&key);
    }
    text
}

/// The source of exactly this value.
pub(super) fn source_of(sources: &Sources, pointer: &str) -> Source {
    sources.get(pointer).cloned().unwrap_or_default()
}

/// Where to look for a fault at `pointer`: its own place, or that of the nearest table around it.
pub(super) fn place(sources: &Sources, pointer: &str) -> Option<String> {
    let mut pointer = pointer;
    loop {
        if let Some(source) = sources.get(pointer) {
            return Some(source.to_string());
        }
        pointer = pointer.rsplit_once('/')?.0;
    }
}

fn line_starts(text: &str) -> Vec<usize> {
    std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect()
}

/// Turns TOML into JSON and notes the line of every key.
struct TomlReader {
    name: String,
    lines: Vec<usize>,
    sources: Sources,
    problems: Vec<Problem>,
}

impl TomlReader {
    fn source(&self, at: usize) -> Source {
        Source::File { name: self.name.clone(), line: self.lines.partition_point(|start| *start <= at) }
    }

    fn problem(&mut self, at: usize, pointer: Option<&str>, detail: String) {
        let place = Some(self.source(at).to_string());
        self.problems.push(Problem { place, key: pointer.map(dotted), detail });
    }

    fn table(&mut self, table: DeTable<'_>, pointer: &str) -> Value {
        let mut map = Map::new();
        for (key, value) in table {
            let at = key.span().start;
            let key = key.into_inner().into_owned();
            let pointer = join(pointer, &key);
            self.sources.insert(pointer.clone(), self.source(at));
            let value = self.value(value, &pointer);
            map.insert(key, value);
        }
        Value::Object(map)
    }

    fn value(&mut self, value: Spanned<DeValue<'_>>, pointer: &str) -> Value {
        let at = value.span().start;
        match value.into_inner() {
            DeValue::String(text) => Value::String(text.into_owned()),
            DeValue::Boolean(value) => Value::Bool(value),
            DeValue::Datetime(time) => Value::String(time.to_string()),
            DeValue::Integer(integer) => match i64::from_str_radix(integer.as_str(), integer.radix()) {
                Ok(integer) => integer.into(),
                Err(_) => self.unusable(at, pointer, "the number is too large"),
            },
            DeValue::Float(float) => match float.as_str().parse().ok().and_then(serde_json::Number::from_f64) {
                Some(float) => Value::Number(float),
                None => self.unusable(at, pointer, "the number must be finite"),
            },
            DeValue::Array(items) => {
                let mut values = Vec::new();
                for (index, item) in items.into_iter().enumerate() {
                    let pointer = join(pointer, &index.to_string());
                    self.sources.insert(pointer.clone(), self.source(item.span().start));
                    values.push(self.value(item, &pointer));
                }
                Value::Array(values)
            }
            DeValue::Table(table) => self.table(table, pointer),
        }
    }

    fn unusable(&mut self, at: usize, pointer: &str, detail: &str) -> Value {
        self.problem(at, Some(pointer), detail.into());
        Value::Null
    }
}
