//! The bridge from a plugin's `tracing` to the host's log.
//!
//! Each library has its own copy of `tracing`, so the SDK installs a subscriber in it that hands every event to the
//! host services of the instance whose code is running.

use std::{
    cell::RefCell,
    fmt::Write as _,
    sync::{Arc, Mutex, Once, PoisonError},
};

use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
    span,
};

use crate::{context::Services, service::LogRecord, wire};

/// The longest message, in bytes; what is over is cut.
const MAX_MESSAGE: usize = 4096;

thread_local! {
    static CURRENT: RefCell<Option<Scope>> = const { RefCell::new(None) };
}

/// Where events go that no call is responsible for, such as those of a plugin's own threads.
static FALLBACK: Mutex<Option<Scope>> = Mutex::new(None);

/// Whose code is running, and for which request.
#[derive(Clone, Default)]
pub(crate) struct Scope {
    services: Option<Services>,
    request_id: Option<Arc<str>>,
}

impl Scope {
    pub(crate) fn new(services: Services, request_id: Option<&str>) -> Self {
        Self { services: Some(services), request_id: request_id.map(Into::into) }
    }

    /// Makes this the scope of the thread until the guard is dropped.
    pub(crate) fn enter(&self) -> Entered {
        Entered(CURRENT.with(|current| current.replace(Some(self.clone()))))
    }

    fn log(&self, level: &str, target: &str, message: String) {
        let Some(services) = &self.services else { return };
        let record = LogRecord {
            level: level.to_owned(),
            target: target.to_owned(),
            message,
            request_id: self.request_id.as_deref().map(Into::into),
        };
        services.log(wire::encode(&record).unwrap_or_default());
    }
}

/// Restores the previous scope when it is dropped.
pub(crate) struct Entered(Option<Scope>);

impl Drop for Entered {
    fn drop(&mut self) {
        let previous = self.0.take();
        // The thread may be ending, and its locals be gone.
        let _ = CURRENT.try_with(|current| current.replace(previous));
    }
}

/// Installs the bridge in this library, once, and lets `services` have what no call is responsible for.
pub(crate) fn install(services: &Services, level: &str) {
    static ONCE: Once = Once::new();
    *FALLBACK.lock().unwrap_or_else(PoisonError::into_inner) = Some(Scope::new(services.clone(), None));
    let level = level.parse().unwrap_or(LevelFilter::INFO);
    ONCE.call_once(|| {
        // Fails only where the library runs inside a program that has a subscriber of its own, such as a unit test.
        let _ = tracing::subscriber::set_global_default(Bridge { level });
    });
}

struct Bridge {
    level: LevelFilter,
}

impl Subscriber for Bridge {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() <= self.level
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.level)
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        let scope = CURRENT
            .try_with(|current| current.borrow().clone())
            .ok()
            .flatten()
            .or_else(|| FALLBACK.lock().unwrap_or_else(PoisonError::into_inner).clone());
        if let Some(scope) = scope {
            scope.log(level_name(event.metadata().level()), event.metadata().target(), line.0);
        }
    }

    // Spans are the host's matter: it opens one around every call.
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

fn level_name(level: &Level) -> &'static str {
    match *level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

/// The message, and the fields behind it.
struct Line(String);

impl Line {
    fn cut(&mut self) {
        if self.0.len() > MAX_MESSAGE {
            self.0.truncate(self.0.floor_char_boundary(MAX_MESSAGE));
        }
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let written = if field.name() == "message" {
            let rest = std::mem::take(&mut self.0);
            write!(self.0, "{value:?}{rest}")
        } else {
            write!(self.0, " {}={value:?}", field.name())
        };
        let _ = written;
        self.cut();
    }
}
